/* UART0 of nRF52 (the register interface without DMA; nRF52840 Product Specification, 6.33). KWS_UART_TX_PIN,
 * KWS_UART_RX_PIN (32 * port + pin), KWS_UART_BAUD (9600 to 1000000) and KWS_UART_INTERRUPT: board.toml. */
#include <stdint.h>

#include "kws_core.h"
#include "kws_received.h"
#include "kws_transport.h"

#define UART0 0x40002000u
#define REG(offset) (*(volatile uint32_t *)(UART0 + (offset)))
#define STARTRX REG(0x000)
#define STARTTX REG(0x008)
#define RXDRDY REG(0x108)
#define TXDRDY REG(0x11c)
#define INTENSET REG(0x304)
#define ENABLE REG(0x500)
#define PSELTXD REG(0x50c)
#define PSELRXD REG(0x514)
#define RXD REG(0x518)
#define TXD REG(0x51c)
#define BAUDRATE REG(0x524)

#define PORT(pin) (0x50000000u + 0x300u * ((pin) / 32u))
#define OUTSET(pin) (*(volatile uint32_t *)(PORT(pin) + 0x508u))
#define PIN_CNF(pin) (*(volatile uint32_t *)(PORT(pin) + 0x700u + 4u * ((pin) % 32u)))

enum { UART_ENABLED = 4, PIN_OUTPUT = 3, PIN_INPUT_PULLED_UP = 12, RXDRDY_INTERRUPT = 1 << 2 };

void kws_uart_interrupt(void);

void kws_transport_init(void) {
    OUTSET(KWS_UART_TX_PIN) = 1u << KWS_UART_TX_PIN % 32u;
    PIN_CNF(KWS_UART_TX_PIN) = PIN_OUTPUT;
    PIN_CNF(KWS_UART_RX_PIN) = PIN_INPUT_PULLED_UP;
    PSELTXD = KWS_UART_TX_PIN;
    PSELRXD = KWS_UART_RX_PIN;
    /* baud * 2^32 / 16 MHz, rounded to the 12 bits below the top that the divider has: the datasheet's table */
    BAUDRATE = (uint32_t)((((uint64_t)KWS_UART_BAUD << 32) / 16000000u + 0x800u) & 0xfffff000u);
    ENABLE = UART_ENABLED;
    INTENSET = RXDRDY_INTERRUPT;
    STARTRX = 1;
    STARTTX = 1;
    kws_interrupt_on(KWS_UART_INTERRUPT, KWS_URGENT);
}

/* The event is cleared before its byte is read: the FIFO behind it raises it anew. */
void kws_uart_interrupt(void) {
    if (!kws_receives() || !RXDRDY) return;
    RXDRDY = 0;
    kws_receive((uint8_t)RXD);
}

void kws_write(const void *bytes, size_t count) {
    for (const uint8_t *at = bytes, *end = at + count; at < end; at++) {
        TXDRDY = 0;
        TXD = *at;
        while (!TXDRDY) {}
    }
}
