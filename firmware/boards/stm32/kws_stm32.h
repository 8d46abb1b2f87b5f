/* What STM32 boards share: registers by address, and pins (GPIO is the same on F4 and L4: RM0090 section 8, RM0351
 * section 8). */
#ifndef KWS_STM32_H
#define KWS_STM32_H

#include <stdint.h>

#define KWS_REG(address) (*(volatile uint32_t *)(address))

/* A pin's port by its letter, 'A' first; base: of port A. */
#define KWS_PORT(base, letter) ((base) + 0x400u * (uint32_t)((letter) - 'A'))

enum { KWS_MODER = 0x00, KWS_OSPEEDR = 0x08, KWS_PUPDR = 0x0c, KWS_BSRR = 0x18, KWS_AFRL = 0x20 };
enum { KWS_PIN_OUTPUT = 1, KWS_PIN_ALTERNATE = 2, KWS_PULL_UP = 1 };

/* Two bits of `value` for a pin in one of a port's registers. */
static inline void kws_pin_bits(uint32_t port, uint32_t offset, uint32_t pin, uint32_t value) {
    KWS_REG(port + offset) = (KWS_REG(port + offset) & ~(3u << 2u * pin)) | value << 2u * pin;
}

/* The pin belongs to a peripheral: the `function` of the data sheet's table of alternate functions. */
static inline void kws_pin_alternate(uint32_t port, uint32_t pin, uint32_t function) {
    const uint32_t half = port + KWS_AFRL + 4u * (pin / 8u), shift = 4u * (pin % 8u);
    KWS_REG(half) = (KWS_REG(half) & ~(15u << shift)) | function << shift;
    kws_pin_bits(port, KWS_MODER, pin, KWS_PIN_ALTERNATE);
}

static inline void kws_pin_output(uint32_t port, uint32_t pin) { kws_pin_bits(port, KWS_MODER, pin, KWS_PIN_OUTPUT); }

/* BSRR: the lower half sets, the upper one clears. */
static inline void kws_pin_set(uint32_t port, uint32_t pin, int high) {
    KWS_REG(port + KWS_BSRR) = 1u << (pin + (high ? 0u : 16u));
}

#endif
