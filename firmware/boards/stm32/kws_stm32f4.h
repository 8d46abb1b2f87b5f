/* STM32F405 and F407: addresses (RM0090, section 2.3) and the clock that all their boards start alike. */
#ifndef KWS_STM32F4_H
#define KWS_STM32F4_H

#include "kws_stm32.h"

#define KWS_GPIOA 0x40020000u
#define KWS_RCC(offset) KWS_REG(0x40023800u + (offset))
#define KWS_RCC_AHB1ENR KWS_RCC(0x30) /* clocks of ports (bit 0 is A) and DMA */
#define KWS_RCC_APB1ENR KWS_RCC(0x40)
#define KWS_RCC_APB2ENR KWS_RCC(0x44)

/* From the internal oscillator's 16 MHz to 168 MHz from a crystal of KWS_CRYSTAL_MHZ (board.toml); APB1 then has 42 and
 * APB2 84 MHz. Whether it did; where the crystal or the PLL does not start all stays at 16 MHz, and kws_gave_up says
 * which. */
int kws_stm32f4_clock(void);

/* The UART's clock in Hz, by whether kws_stm32f4_clock did. */
static inline uint32_t kws_stm32f4_uart_hz(int fast) { return fast ? KWS_UART_CLOCK_HZ : 16000000u; }

#endif
