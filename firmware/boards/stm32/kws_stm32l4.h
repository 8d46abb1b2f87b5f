/* STM32L4 and L4+: addresses (RM0351, section 2.2; RM0432, section 2.2) and the clock that their boards start alike. */
#ifndef KWS_STM32L4_H
#define KWS_STM32L4_H

#include "kws_stm32.h"

#define KWS_GPIOA 0x48000000u
#define KWS_RCC(offset) KWS_REG(0x40021000u + (offset))
#define KWS_RCC_AHB1ENR KWS_RCC(0x48) /* clocks of DMA, bit 0 is DMA1 */
#define KWS_RCC_AHB2ENR KWS_RCC(0x4c) /* clocks of ports, bit 0 is A */
#define KWS_RCC_APB1ENR1 KWS_RCC(0x58)
#define KWS_RCC_APB1ENR2 KWS_RCC(0x5c)
#define KWS_RCC_APB2ENR KWS_RCC(0x60)
#define KWS_PWR(offset) KWS_REG(0x40007000u + (offset))

/* From 4 MHz of the internal oscillator MSI, which runs after reset within 1 %, to twice `half_mhz`; buses undivided.
 * `waits`: of the flash at that speed. Whether it did; where the PLL does not start all stays at 4 MHz, and kws_gave_up
 * says so. */
int kws_stm32l4_clock(uint32_t half_mhz, uint32_t waits);

/* The UART's clock in Hz, by whether kws_stm32l4_clock did. */
static inline uint32_t kws_stm32l4_uart_hz(int fast) { return fast ? KWS_UART_CLOCK_HZ : 4000000u; }

#endif
