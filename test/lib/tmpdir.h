/* A directory for the running case. */
#ifndef KV_TEST_LIB_TMPDIR_H
#define KV_TEST_LIB_TMPDIR_H

/* The absolute path of an empty directory that belongs to the running case:
 * made by the first call, the same one from later calls, removed with all that
 * is in it when the case is over, also if it crashed.  KV_TEST_KEEP=1 keeps it.
 * Below $TMPDIR, or /tmp.  Storage is static. */
const char *test_tmpdir(void);

/* The runner's part.  prepare: choose a name for the case that is about to
 * start (nothing is created).  remove: delete it if it was created. */
void test_tmpdir_prepare(void);
void test_tmpdir_remove(void);

#endif
