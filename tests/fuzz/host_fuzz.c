/* The Host of a request.  Input: HOST[:PORT], and in a second line a name to compare it with. */
#include "reference_host.h"

static void check_is(const struct host *host, struct http_text text, const char *name)
{
    struct reference_host expected;
    expect(reference_host(text, &expected));
    expect(host_is(host, name) == reference_host_is(&expected, name));
    expect(host_is(host, expected.host)); /* whatever it is, it is itself */
    for (char *c = expected.host; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    expect(host_is(host, expected.host));
    reference_host_clear(&expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_bytes)
{
    struct fuzz_input input = {.at = data, .bytes = data_bytes};
    struct fuzz_input line = fuzz_line(&input);
    struct host host;
    struct reference_host expected;
    char *exact = (char *)fuzz_copy(line.at, line.bytes);
    char *name = fuzz_text(input.at, input.bytes);
    const struct http_text text = {.at = exact, .bytes = line.bytes};
    bool is_host = host_parse(text, &host);
    expect(is_host == reference_host(text, &expected));
    reference_host_clear(&expected);
    if (is_host) {
        reference_host_expect(&host, text);
        check_is(&host, text, name);
    }
    free(name);
    free(exact);
    return 0;
}
