/* USART and LPUART of STM32L4 (RM0351, sections 40 and 41). KWS_UART_BASE, KWS_UART_INTERRUPT, KWS_UART_BAUD and, for an
 * LPUART, KWS_UART_CLOCKS_PER_BIT_SCALE 256 instead of 1: board.toml. Pins, clocks and kws_uart_clock_hz: the board. */
#include <stdint.h>

#include "kws_board.h"
#include "kws_core.h"
#include "kws_received.h"
#include "kws_transport.h"

typedef struct {
    volatile uint32_t cr1, cr2, cr3, brr, gtpr, rtor, rqr, isr, icr, rdr, tdr;
} stm32l4_usart;

static stm32l4_usart *const usart = (stm32l4_usart *)KWS_UART_BASE;

enum { UE = 1u << 0, RE = 1u << 2, TE = 1u << 3, RXNEIE = 1u << 5 }; /* CR1: on, receive, send, interrupt */
enum { RXNE = 1u << 5, TXE = 1u << 7 };                             /* ISR: a byte has come; there is room */
enum { ORECF = 1u << 3 };                                           /* ICR: forget an overrun */

void kws_uart_interrupt(void);

void kws_transport_init(void) {
    const uint64_t scaled = (uint64_t)kws_uart_clock_hz * KWS_UART_CLOCKS_PER_BIT_SCALE;
    usart->brr = (uint32_t)((scaled + KWS_UART_BAUD / 2) / KWS_UART_BAUD);
    usart->cr1 = UE | TE | RE | RXNEIE;
    kws_interrupt_on(KWS_UART_INTERRUPT, KWS_URGENT);
}

void kws_uart_interrupt(void) {
    usart->icr = ORECF;
    if (kws_receives() && usart->isr & RXNE) kws_receive((uint8_t)usart->rdr);
}

void kws_write(const void *bytes, size_t count) {
    for (const uint8_t *at = bytes, *end = at + count; at < end; at++) {
        while (!(usart->isr & TXE)) {}
        usart->tdr = *at;
    }
}
