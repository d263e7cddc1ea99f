/* For static binaries with glibc only. Whatever module /etc/nsswitch.conf names would be loaded into the process, with
   the C library that it was made for: another one than ours, and the process dies. "files" and "dns" are built in. */
#include <nss.h>

__attribute__((constructor)) static void use_what_is_built_in(void)
{
	__nss_configure_lookup("hosts", "files dns");
	__nss_configure_lookup("passwd", "files");
	__nss_configure_lookup("group", "files");
	__nss_configure_lookup("initgroups", "files");
}
