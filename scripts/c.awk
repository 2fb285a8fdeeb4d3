# Functions for the checks that read C sources.  A check runs as
#     awk "$(cat scripts/c.awk)"'...' files
# and calls code($0) on every line in order.

# The line without comments, its string and character literals emptied.
# Comments may span lines: in_comment carries that from one call to the next
# and is reset at the first line of each file.
function code(line,    out, i, n, c, two) {
    if (FNR == 1) in_comment = 0
    if (!in_comment && line !~ /["\047\/]/) return line
    out = ""
    n = length(line)
    for (i = 1; i <= n; i++) {
        two = substr(line, i, 2)
        if (in_comment) {
            if (two == "*/") { in_comment = 0; i++; out = out " " }
            continue
        }
        if (two == "/*") { in_comment = 1; i++; continue }
        if (two == "//") break
        c = substr(line, i, 1)
        out = out c
        if (c != "\"" && c != "\047") continue
        for (i++; i <= n && substr(line, i, 1) != c; i++)
            if (substr(line, i, 1) == "\\") i++
        out = out c
    }
    return out
}

# Note one violation of the named kind, to be printed as TAP diagnostics.
function bad(kind, text) {
    problems[kind] = problems[kind] "# " text "\n"
}

# Print the TAP line of a kind, preceded by its violations.
function verdict(number, kind, title) {
    printf "%s", problems[kind]
    print (problems[kind] == "" ? "ok " : "not ok ") number " - " title
}
