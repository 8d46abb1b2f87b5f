/* The app of every board: answers the host's requests for as long as there is power. */
#include "kws_protocol.h"

int main(void) {
    kws_greet();
    for (;;) kws_serve();
}
