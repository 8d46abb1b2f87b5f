/* NUCLEO-L4R5ZI (STM32L4R5): 120 MHz; LPUART1 on PG7 and PG8 goes to the ST-LINK's serial port; the blue LED on PB7. */
#include "kws_board.h"
#include "kws_core.h"
#include "kws_stm32l4.h"

#define PWR_CR2 KWS_PWR(0x04)
#define PWR_CR5 KWS_PWR(0x80)

enum { PWR_ON = 1 << 28, LPUART1_ON = 1 << 0, GPIOB_ON = 1 << 1, GPIOG_ON = 1 << 6 }; /* RCC_APB1ENR1, APB1ENR2, AHB2ENR */
enum { IOSV = 1 << 9 };   /* PWR_CR2: PG2 to PG15 have their supply VDDIO2, without which port G is dead */
enum { R1MODE = 1 << 8 }; /* PWR_CR5: clear for range 1's boost, above 80 MHz */
enum { HALF_MHZ = 60, FLASH_WAITS = 5 }; /* 120 MHz in range 1's boost: RM0432, table 12 */
enum { LPUART1_FUNCTION = 8, TX_PIN = 7, RX_PIN = 8, LED_PIN = 7 };

uint32_t kws_uart_clock_hz;

void kws_board_init(void) {
    const uint32_t port = KWS_PORT(KWS_GPIOA, 'G');
    KWS_RCC_APB1ENR1 |= PWR_ON;
    PWR_CR2 |= IOSV;
    PWR_CR5 &= ~(uint32_t)R1MODE;
    kws_uart_clock_hz = kws_stm32l4_uart_hz(kws_stm32l4_clock(HALF_MHZ, FLASH_WAITS));
    KWS_RCC_AHB2ENR |= GPIOB_ON | GPIOG_ON;
    KWS_RCC_APB1ENR2 |= LPUART1_ON;
    kws_pin_alternate(port, TX_PIN, LPUART1_FUNCTION);
    kws_pin_alternate(port, RX_PIN, LPUART1_FUNCTION);
    kws_pin_output(KWS_PORT(KWS_GPIOA, 'B'), LED_PIN);
}

void kws_led(int on) { kws_pin_set(KWS_PORT(KWS_GPIOA, 'B'), LED_PIN, on); }
