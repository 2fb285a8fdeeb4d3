/* Texts and names of the error codes, both from the one list in err.h. */
#include "base/err.h"

const char *kv_strerror(int code)
{
    switch (code) {
    case KV_OK:
        return "success";
#define X(name, value, text) \
    case name:               \
        return text;
        KV_ERR_MAP(X)
#undef X
    default:
        return "unknown error";
    }
}

const char *kv_errname(int code)
{
    switch (code) {
    case KV_OK:
        return "KV_OK";
#define X(name, value, text) \
    case name:               \
        return #name;
        KV_ERR_MAP(X)
#undef X
    default:
        return "KV_?";
    }
}
