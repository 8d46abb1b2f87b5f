/* STM32F405 as on the Netduino Plus 2, which QEMU plays: its serial line is USART1, on silicon PA9 (TX) and PA10 (RX).
 * The emulator's clock registers read 0: every wait gives up, and says so. */
#include "kws_board.h"
#include "kws_core.h"
#include "kws_stm32f4.h"

enum { GPIOA_ON = 1 << 0, USART1_ON = 1 << 4 }; /* RCC_AHB1ENR, RCC_APB2ENR */
enum { USART1_FUNCTION = 7, TX_PIN = 9, RX_PIN = 10 };

uint32_t kws_uart_clock_hz;

void kws_board_init(void) {
    kws_uart_clock_hz = kws_stm32f4_uart_hz(kws_stm32f4_clock());
    KWS_RCC_AHB1ENR |= GPIOA_ON;
    KWS_RCC_APB2ENR |= USART1_ON;
    kws_pin_alternate(KWS_GPIOA, TX_PIN, USART1_FUNCTION);
    kws_pin_alternate(KWS_GPIOA, RX_PIN, USART1_FUNCTION);
}
