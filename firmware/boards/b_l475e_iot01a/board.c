/* B-L475E-IOT01A (STM32L475): 80 MHz; USART1 on PB6 and PB7 goes to the ST-LINK's serial port; LED2 on PB14. */
#include "kws_board.h"
#include "kws_core.h"
#include "kws_stm32l4.h"

enum { HALF_MHZ = 40, FLASH_WAITS = 4 };         /* 80 MHz in voltage range 1: RM0351, table 9 */
enum { GPIOB_ON = 1 << 1, USART1_ON = 1 << 14 }; /* RCC_AHB2ENR, RCC_APB2ENR */
enum { USART1_FUNCTION = 7, TX_PIN = 6, RX_PIN = 7, LED_PIN = 14 };

uint32_t kws_uart_clock_hz;

void kws_board_init(void) {
    const uint32_t port = KWS_PORT(KWS_GPIOA, 'B');
    kws_uart_clock_hz = kws_stm32l4_uart_hz(kws_stm32l4_clock(HALF_MHZ, FLASH_WAITS));
    KWS_RCC_AHB2ENR |= GPIOB_ON;
    KWS_RCC_APB2ENR |= USART1_ON;
    kws_pin_alternate(port, TX_PIN, USART1_FUNCTION);
    kws_pin_alternate(port, RX_PIN, USART1_FUNCTION);
    kws_pin_output(port, LED_PIN);
}

void kws_led(int on) { kws_pin_set(KWS_PORT(KWS_GPIOA, 'B'), LED_PIN, on); }
