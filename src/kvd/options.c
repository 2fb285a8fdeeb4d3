/* Flags are the keys of node/config.h with '-' for '.': --wal-sync always or
 * --wal-sync=always sets wal.sync. */
#include "kvd/options.h"

#include <stdbool.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* A configuration file beyond this is not one. */
#define OPTIONS_FILE_BYTES_MAX (1u << 20)
#define OPTIONS_FLAG_MAX 128u

static int read_file(struct env *env, const char *path, struct config *cfg,
                     char *errmsg, size_t n)
{
    struct env_file *f;
    uint64_t size = 0;
    size_t got = 0;
    uint8_t *text = NULL;
    int rv = env_open(env, path, ENV_OPEN_RDONLY, &f);

    if (rv != 0) {
        snprintf(errmsg, n, "cannot read %s: %s", path, kv_strerror(rv));
        return rv;
    }
    rv = env_size(env, f, &size);
    if (rv == 0 && size > OPTIONS_FILE_BYTES_MAX)
        rv = KV_E2BIG;
    if (rv == 0) {
        text = mem_alloc((size_t)size + 1);
        rv = env_read(env, f, 0, text, (size_t)size, &got);
    }
    env_close(env, f);
    if (rv != 0)
        snprintf(errmsg, n, "cannot read %s: %s", path, kv_strerror(rv));
    else
        rv = config_parse(cfg, path, slice_make(text, got), errmsg, n);
    mem_free(text);
    if (rv == 0)
        snprintf(cfg->config_file, sizeof cfg->config_file, "%s", path);
    return rv;
}

/* Whether flag (len bytes after the dashes) names key. */
static bool flag_is_key(const char *flag, size_t len, const char *key)
{
    if (strlen(key) != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = key[i] == '.' ? '-' : key[i];

        if (flag[i] != c)
            return false;
    }
    return true;
}

static const struct config_key *find_key(const char *flag, size_t len)
{
    for (const struct config_key *k = config_keys(); k->name != NULL; k++)
        if (flag_is_key(flag, len, k->name))
            return k;
    return NULL;
}

struct flag {
    const char *name;  /* after the dashes */
    size_t len;
    const char *value; /* NULL: none given */
};

/* Take the flag at argv[*i]; on return *i is at its last word. */
static int next_flag(int argc, char **argv, int *i, struct flag *ret,
                     char *errmsg, size_t n)
{
    const char *arg = argv[*i];
    const char *eq = strchr(arg, '=');

    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0') {
        snprintf(errmsg, n, "unexpected argument '%s' (see kvd --help)", arg);
        return KV_EINVAL;
    }
    ret->name = arg + 2;
    ret->len = eq != NULL ? (size_t)(eq - arg - 2) : strlen(arg + 2);
    ret->value = eq != NULL ? eq + 1 : NULL;
    if (ret->len > OPTIONS_FLAG_MAX) {
        snprintf(errmsg, n, "flag too long: %.32s...", arg);
        return KV_EINVAL;
    }
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "--version") == 0 ||
        strcmp(arg, "--check-config") == 0 || ret->value != NULL)
        return 0;
    if (*i + 1 >= argc) {
        snprintf(errmsg, n, "%s needs a value (see kvd --help)", arg);
        return KV_EINVAL;
    }
    ret->value = argv[++*i];
    return 0;
}

static bool flag_is(const struct flag *f, const char *name)
{
    return strlen(name) == f->len && strncmp(name, f->name, f->len) == 0;
}

/* First pass: what to do, and the file. */
static int pass_file(struct env *env, int argc, char **argv,
                     struct config *cfg, enum options_action *ret,
                     char *errmsg, size_t n)
{
    struct flag f;
    int rv = 0;

    for (int i = 1; i < argc && rv == 0; i++) {
        rv = next_flag(argc, argv, &i, &f, errmsg, n);
        if (rv != 0)
            break;
        if (flag_is(&f, "help"))
            *ret = OPTIONS_HELP;
        else if (flag_is(&f, "version"))
            *ret = OPTIONS_VERSION;
        else if (flag_is(&f, "check-config"))
            *ret = OPTIONS_CHECK;
        else if (flag_is(&f, "config"))
            rv = read_file(env, f.value, cfg, errmsg, n);
        if (*ret == OPTIONS_HELP || *ret == OPTIONS_VERSION)
            return 0;
    }
    return rv;
}

/* Second pass: flags override. */
static int pass_flags(int argc, char **argv, struct config *cfg, char *errmsg,
                      size_t n)
{
    char reason[512];
    struct flag f;
    int rv;

    for (int i = 1; i < argc; i++) {
        const struct config_key *k;

        rv = next_flag(argc, argv, &i, &f, errmsg, n);
        if (rv != 0)
            return rv;
        if (flag_is(&f, "config") || flag_is(&f, "check-config"))
            continue;
        k = find_key(f.name, f.len);
        if (k == NULL) {
            snprintf(errmsg, n, "unknown flag --%.*s (see kvd --help)",
                     (int)f.len, f.name);
            return KV_EINVAL;
        }
        rv = config_set(cfg, k->name, f.value, reason, sizeof reason);
        if (rv != 0) {
            snprintf(errmsg, n, "--%.*s: %s", (int)f.len, f.name, reason);
            return rv;
        }
    }
    return 0;
}

int options_read(struct env *env, int argc, char **argv, struct config *cfg,
                 enum options_action *ret, char *errmsg, size_t n)
{
    enum options_action action = OPTIONS_RUN;
    int rv;

    config_defaults(cfg);
    rv = pass_file(env, argc, argv, cfg, &action, errmsg, n);
    if (rv == 0 && action != OPTIONS_HELP && action != OPTIONS_VERSION) {
        rv = pass_flags(argc, argv, cfg, errmsg, n);
        if (rv == 0)
            rv = config_check(cfg, errmsg, n);
    }
    if (rv == 0)
        *ret = action;
    return rv;
}

void options_help(FILE *out)
{
    fprintf(out,
            "Usage: kvd --config FILE [--KEY VALUE]...\n"
            "       kvd --node-id N --initial-cluster 1=host:port,... "
            "--data-dir DIR\n\n"
            "Settings (kvd.conf(5); a flag has '-' for '.'), [default]:\n");
    for (const struct config_key *k = config_keys(); k->name != NULL; k++)
        fprintf(out, "  %-24s %.*s [%s]\n", k->name,
                (int)strcspn(k->meaning, ";"), k->meaning,
                strcmp(k->def, "") == 0 ? "-" : k->def);
    fprintf(out, "\n  --check-config   say whether the settings are sound, "
                 "and end\n  --version        print the version, and end\n");
}
