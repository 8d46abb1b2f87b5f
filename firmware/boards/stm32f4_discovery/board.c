/* STM32F4DISCOVERY (STM32F407): 168 MHz; USART2 on PA2 (TX) and PA3 (RX), for an adapter; the green LED on PD12. */
#include "kws_board.h"
#include "kws_core.h"
#include "kws_stm32f4.h"

enum { GPIOA_ON = 1 << 0, GPIOD_ON = 1 << 3, USART2_ON = 1 << 17 }; /* RCC_AHB1ENR, RCC_APB1ENR */
enum { USART2_FUNCTION = 7, TX_PIN = 2, RX_PIN = 3, LED_PIN = 12 };

uint32_t kws_uart_clock_hz;

void kws_board_init(void) {
    kws_uart_clock_hz = kws_stm32f4_uart_hz(kws_stm32f4_clock());
    KWS_RCC_AHB1ENR |= GPIOA_ON | GPIOD_ON;
    KWS_RCC_APB1ENR |= USART2_ON;
    kws_pin_alternate(KWS_GPIOA, TX_PIN, USART2_FUNCTION);
    kws_pin_alternate(KWS_GPIOA, RX_PIN, USART2_FUNCTION);
    kws_pin_bits(KWS_GPIOA, KWS_PUPDR, RX_PIN, KWS_PULL_UP); /* no adapter is no host */
    kws_pin_output(KWS_PORT(KWS_GPIOA, 'D'), LED_PIN);
}

void kws_led(int on) { kws_pin_set(KWS_PORT(KWS_GPIOA, 'D'), LED_PIN, on); }
