/* cut: cut the power of file systems, all given ones at nearly the same time.
 *
 *     cut DIRECTORY...
 *
 * EXT4_IOC_SHUTDOWN without flushing the journal: from this moment every write to the file
 * system fails, and what was not synced is gone after the next mount, as if the
 * power had failed.  XFS and F2FS know the same call.  The processes that use the
 * file system live on until they are killed; whatever they try gives EIO.
 *
 * All directories are opened first, so that the cuts themselves are some
 * microseconds apart.  Refuses the root file system.  Exit status 1: some could not be
 * cut, said which. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CUT_SHUTDOWN _IOR('X', 125, uint32_t) /* linux: EXT4_IOC_SHUTDOWN */
#define CUT_NO_LOG_FLUSH 2u
#define CUT_MAX 64

static int open_one(const char *path)
{
    struct stat st, root;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        fprintf(stderr, "cut: cannot open %s: %s\n", path, strerror(errno));
        return -1;
    }
    if (fstat(fd, &st) != 0 || stat("/", &root) != 0 ||
        st.st_dev == root.st_dev) {
        fprintf(stderr, "cut: %s is on the root file system: not cut\n", path);
        close(fd);
        return -1;
    }
    return fd;
}

int main(int argc, char **argv)
{
    int fd[CUT_MAX], bad = 0;

    if (argc < 2 || argc > CUT_MAX) {
        fprintf(stderr, "usage: cut DIRECTORY...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        fd[i] = open_one(argv[i]);
        if (fd[i] < 0)
            return 1;
    }
    for (int i = 1; i < argc; i++) {
        uint32_t flags = CUT_NO_LOG_FLUSH;

        if (ioctl(fd[i], CUT_SHUTDOWN, &flags) != 0) {
            fprintf(stderr, "cut: %s: %s\n", argv[i], strerror(errno));
            bad = 1;
        }
    }
    return bad;
}
