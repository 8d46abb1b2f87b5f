/* The app of every board: tests itself, then for as long as there is power answers the host's requests and, where there
 * is a microphone and no host talks, listens. */
#include "kws_core.h"
#include "kws_protocol.h"
#include "kws_self_test.h"
#include "kws_transport.h"
#ifdef KWS_LISTENING
#include "kws_listen.h"
#else
#define kws_listen_begin()
#define kws_listen() kws_sleep_unless(kws_bytes_wait)
#endif

int main(void) {
    kws_greet(kws_self_test());
    kws_listen_begin();
    for (;;) {
        if (!kws_serve()) kws_listen();
    }
}
