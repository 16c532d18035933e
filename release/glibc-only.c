/* What Rust's gnu target asks of glibc and musl does not have (release/build --libc musl-gcc). */

/* libgcc_eh asks for the tables of a code address. "Not found" (-1) ends its search, as for code
 * without tables. The tools are built with panic=abort, so nothing is ever unwound; only the
 * backtrace that RUST_BACKTRACE asks for stays empty. */
int _dl_find_object(void *address, void *result)
{
    (void)address;
    (void)result;
    return -1;
}

/* std asks before it starts a program with posix_spawn(3), since an old glibc's doesn't tell that
 * the exec failed. No version makes it fork and exec by itself. */
const char *gnu_get_libc_version(void)
{
    return "";
}
