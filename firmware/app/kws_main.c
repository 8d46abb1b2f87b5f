/* The app of every board: tests itself, then answers the host's requests for as long as there is power. */
#include "kws_protocol.h"
#include "kws_self_test.h"

int main(void) {
    kws_greet(kws_self_test());
    for (;;) kws_serve();
}
