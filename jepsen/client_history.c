/* The history: one line for each call and each return, in the order in which they
 * happened, for there is one writer.
 *
 * A call is written (to the buffer of the file) before its first byte is sent, a
 * return after its last byte was received: the interval in the history contains
 * the real one.  The buffer is flushed at the end, which a signal brings about
 * too. */
#include <stdlib.h>

#include "jepsen/client.h"
#include "oracle/edn.h"

#define HISTORY_BUFFER_BYTES (1u << 20)

int history_open(struct history_file *h, const char *path)
{
    *h = (struct history_file){ .f = fopen(path, "w") };
    if (h->f == NULL)
        return -1;
    return setvbuf(h->f, NULL, _IOFBF, HISTORY_BUFFER_BYTES) == 0 ? 0 : -1;
}

void history_call_line(struct history_file *h, const struct oracle_op *op)
{
    edn_write_call(h->f, h->index++, op);
}

void history_return_line(struct history_file *h, const struct oracle_op *op,
                         uint64_t time)
{
    edn_write_return(h->f, h->index++, op, time);
}

void history_comment(struct history_file *h, const char *text)
{
    fprintf(h->f, "; %s\n", text);
}

int history_close(struct history_file *h)
{
    bool bad;

    if (h->f == NULL)
        return 0;
    bad = ferror(h->f) != 0;
    bad = fclose(h->f) != 0 || bad;
    h->f = NULL;
    return bad ? -1 : 0;
}
