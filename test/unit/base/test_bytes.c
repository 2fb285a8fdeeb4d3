/* Slices, blobs, lists and error texts: the small ones. */
#include "base/blob.h"
#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"

#include "lib/test.h"

TEST(slice, equality_is_by_bytes_and_empty_ones_are_equal)
{
    CHECK(slice_eq(slice_str("abc"), slice_make("abcd", 3)));
    CHECK(!slice_eq(slice_str("abc"), slice_str("abd")));
    CHECK(!slice_eq(slice_str("abc"), slice_str("ab")));
    CHECK(slice_eq(slice_make(NULL, 0), slice_str("")));
}

TEST(slice, words_compare_without_case)
{
    CHECK(slice_eq_nocase(slice_str("GeT"), "get"));
    CHECK(slice_eq_nocase(slice_str("get"), "GET"));
    CHECK(slice_eq_nocase(slice_str(""), ""));
    CHECK(!slice_eq_nocase(slice_str("get"), "gets"));
    CHECK(!slice_eq_nocase(slice_str("gets"), "get"));
    CHECK(!slice_eq_nocase(slice_str("ge"), ""));
}

TEST(slice, only_ascii_letters_have_a_case)
{
    /* '@' and '`', '[' and '{' differ in the same bit as 'A' and 'a'. */
    CHECK(!slice_eq_nocase(slice_str("@"), "`"));
    CHECK(!slice_eq_nocase(slice_str("["), "{"));
    CHECK(!slice_eq_nocase(slice_str("\xc4"), "\xe4"));
}

TEST(slice, a_zero_byte_does_not_end_a_word)
{
    CHECK(!slice_eq_nocase(slice_make("get\0x", 5), "get"));
    CHECK(!slice_eq_nocase(slice_make("get\0", 4), "get"));
}

TEST(blob, holds_a_copy_until_the_last_reference_is_dropped)
{
    char text[] = "payload";
    struct blob *b = blob_copy(slice_str(text));
    struct blob *same;

    text[0] = 'X';
    same = blob_ref(b);
    CHECK(same == b);
    blob_unref(b);
    CHECK(slice_eq(blob_slice(same), slice_str("payload")));
    blob_unref(same);
    blob_unref(NULL);
}

TEST(blob, may_be_empty)
{
    struct blob *b = blob_copy(slice_make(NULL, 0));

    CHECK_EQ(b->len, 0);
    CHECK_EQ(blob_slice(b).n, 0);
    blob_unref(b);
}

TEST_ABORTS(blob, longer_than_its_length_field_is_a_bug)
{
    blob_unref(blob_new((size_t)UINT32_MAX + 1));
}

struct item {
    int value;
    struct list link;
};

/* The values of the list as decimal digits, to compare with. */
static long list_digits(const struct list *head)
{
    long digits = 0;

    for (struct list *l = head->next; l != head; l = l->next)
        digits = 10 * digits + CONTAINER_OF(l, struct item, link)->value;
    return digits;
}

TEST(list, keeps_order_and_forgets_what_is_deleted)
{
    struct item items[4] = { { .value = 1 }, { .value = 2 }, { .value = 3 },
                             { .value = 4 } };
    struct list head;

    list_init(&head);
    CHECK(list_empty(&head));
    list_add_tail(&head, &items[1].link);
    list_add_tail(&head, &items[2].link);
    list_add_head(&head, &items[0].link);
    list_add_tail(&items[2].link, &items[3].link); /* before the third */
    CHECK_EQ(list_digits(&head), 1243);
    CHECK_EQ(LIST_FIRST(&head, struct item, link)->value, 1);

    list_del(&items[1].link);
    list_del(&items[1].link);
    CHECK_EQ(list_digits(&head), 143);
}

TEST(list, splice_moves_everything_to_the_end)
{
    struct item items[4] = { { .value = 1 }, { .value = 2 }, { .value = 3 },
                             { .value = 4 } };
    struct list to;
    struct list from;

    list_init(&to);
    list_init(&from);
    list_splice(&to, &from);
    CHECK(list_empty(&to));
    list_add_tail(&to, &items[0].link);
    for (int i = 1; i < 4; i++)
        list_add_tail(&from, &items[i].link);
    list_splice(&to, &from);
    CHECK_EQ(list_digits(&to), 1234);
    CHECK(list_empty(&from));
}

TEST(err, every_code_has_a_name_and_a_text)
{
    CHECK_STR(kv_strerror(0), "success");
    CHECK_STR(kv_errname(0), "KV_OK");
    CHECK_STR(kv_strerror(KV_EIO), "input/output error");
    CHECK_STR(kv_errname(KV_ELOCKED), "KV_ELOCKED");
    CHECK_STR(kv_strerror(1), "unknown error");
    CHECK_STR(kv_errname(-9999), "KV_?");
#define X(name, value, text)          \
    CHECK_EQ(name, -(value));         \
    CHECK_STR(kv_strerror(name), text); \
    CHECK_STR(kv_errname(name), #name);
    KV_ERR_MAP(X)
#undef X
}
