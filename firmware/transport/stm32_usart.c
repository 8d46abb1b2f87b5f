/* USART of STM32F2/F4. KWS_UART_BASE, KWS_UART_CLOCK_HZ and KWS_UART_BAUD: board.toml. Pins and clocks: the board. */
#include <stdint.h>

#include "kws_transport.h"

typedef struct {
    volatile uint32_t sr, dr, brr, cr1;
} stm32_usart;

static stm32_usart *const usart = (stm32_usart *)KWS_UART_BASE;

enum { RXNE = 1u << 5, TXE = 1u << 7, RE = 1u << 2, TE = 1u << 3, UE = 1u << 13 };

void kws_transport_init(void) {
    usart->brr = (KWS_UART_CLOCK_HZ + KWS_UART_BAUD / 2) / KWS_UART_BAUD;
    usart->cr1 = UE | TE | RE;
}

void kws_read(void *bytes, size_t count) {
    for (uint8_t *at = bytes, *end = at + count; at < end; at++) {
        while (!(usart->sr & RXNE)) {}
        *at = (uint8_t)usart->dr;
    }
}

void kws_write(const void *bytes, size_t count) {
    for (const uint8_t *at = bytes, *end = at + count; at < end; at++) {
        while (!(usart->sr & TXE)) {}
        usart->dr = *at;
    }
}
