/* USART of STM32F2/F4 (RM0090, section 30). KWS_UART_BASE, KWS_UART_INTERRUPT and KWS_UART_BAUD: board.toml. Pins, clocks
 * and kws_uart_clock_hz: the board. */
#include <stdint.h>

#include "kws_board.h"
#include "kws_core.h"
#include "kws_received.h"
#include "kws_transport.h"

typedef struct {
    volatile uint32_t sr, dr, brr, cr1;
} stm32_usart;

static stm32_usart *const usart = (stm32_usart *)KWS_UART_BASE;

enum { ORE = 1u << 3, RXNE = 1u << 5, TXE = 1u << 7 };                /* SR: overrun, a byte has come, there is room */
enum { RE = 1u << 2, TE = 1u << 3, RXNEIE = 1u << 5, UE = 1u << 13 }; /* CR1: receive, send, interrupt, on */

void kws_uart_interrupt(void);

void kws_transport_init(void) {
    usart->brr = (kws_uart_clock_hz + KWS_UART_BAUD / 2) / KWS_UART_BAUD; /* sixteenths of a bit: 16 samples each */
    usart->cr1 = UE | TE | RE | RXNEIE;
    kws_interrupt_on(KWS_UART_INTERRUPT, KWS_URGENT);
}

/* Reading DR behind SR clears both; without cause it would take a byte that comes between the two. */
void kws_uart_interrupt(void) {
    if (!kws_receives()) return;
    const uint32_t status = usart->sr;
    if (!(status & (RXNE | ORE))) return;
    const uint8_t byte = (uint8_t)usart->dr;
    if (status & RXNE) kws_receive(byte);
}

void kws_write(const void *bytes, size_t count) {
    for (const uint8_t *at = bytes, *end = at + count; at < end; at++) {
        while (!(usart->sr & TXE)) {}
        usart->dr = *at;
    }
}
