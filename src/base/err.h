/* The error codes of all layers: 0 is success, errors are negative. */
#ifndef KV_BASE_ERR_H
#define KV_BASE_ERR_H

/* X(name, value, text).  Values are ours, not errno's; they never change once
 * released because some travel between nodes. */
#define KV_ERR_MAP(X)                                            \
    X(KV_EIO, 1, "input/output error")                           \
    X(KV_ENOSPC, 2, "no space left on device")                   \
    X(KV_ENOENT, 3, "no such file or object")                    \
    X(KV_EEXIST, 4, "already exists")                            \
    X(KV_EINVAL, 5, "invalid argument")                          \
    X(KV_ECORRUPT, 6, "data is corrupt")                         \
    X(KV_EAGAIN, 7, "not now: try again")                        \
    X(KV_EBUSY, 8, "busy: queue full")                           \
    X(KV_ETIMEDOUT, 9, "timed out")                              \
    X(KV_ECANCELED, 10, "canceled")                              \
    X(KV_ENOTLEADER, 11, "not the leader")                       \
    X(KV_ENOLEADER, 12, "no leader")                             \
    X(KV_EUNKNOWN, 13, "outcome unknown")                        \
    X(KV_E2BIG, 14, "too large")                                 \
    X(KV_EPROTO, 15, "protocol error")                           \
    X(KV_EVERSION, 16, "version not supported")                  \
    X(KV_ECONN, 17, "connection lost or refused")                \
    X(KV_ECLOSED, 18, "closed")                                  \
    X(KV_EMFILE, 19, "too many open files")                      \
    X(KV_EADDRINUSE, 20, "address already in use")               \
    X(KV_EACCES, 21, "permission denied")                        \
    X(KV_EMISMATCH, 22, "belongs to another cluster or node")    \
    X(KV_ENOMEM, 23, "out of memory")                            \
    X(KV_EWRONGSHARD, 24, "slot is not served by this shard")    \
    X(KV_EEOF, 25, "end of file")                                \
    X(KV_ELOCKED, 26, "locked by another process")

enum kv_err {
    KV_OK = 0,
#define X(name, value, text) name = -(value),
    KV_ERR_MAP(X)
#undef X
};

/* The text of code (0 or a KV_E*), or "unknown error".  Static storage. */
const char *kv_strerror(int code);

/* The symbolic name ("KV_EIO"), or "KV_?".  Static storage. */
const char *kv_errname(int code);

#endif
