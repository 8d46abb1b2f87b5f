#include "kws_received.h"

#include "kws_core.h"
#include "kws_transport.h"

static volatile uint8_t bytes_held[KWS_RECEIVED_BYTES];
static volatile uint32_t came, went; /* counts since reset; each is written on one side alone */

int kws_receives(void) {
    const int room = came - went < KWS_RECEIVED_BYTES;
    if (!room) kws_interrupt_off(KWS_UART_INTERRUPT);
    return room;
}

void kws_receive(uint8_t byte) {
    bytes_held[came % KWS_RECEIVED_BYTES] = byte;
    came++;
}

size_t kws_take(void *bytes, size_t count) {
    uint8_t *at = bytes;
    for (; count > 0 && came != went; count--, went++) *at++ = bytes_held[went % KWS_RECEIVED_BYTES];
    if (at != bytes) kws_interrupt_on(KWS_UART_INTERRUPT, KWS_URGENT);
    return (size_t)(at - (uint8_t *)bytes);
}

int kws_bytes_wait(void) { return came != went; }
