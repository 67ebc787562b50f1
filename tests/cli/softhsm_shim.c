/* A PKCS #11 module for the tests: SoftHSM, with the configuration that lies beside this file, as helpers get no environment.
 *
 * Each login adds a byte to the file "logins" beside it.  A file "final" or "locked" there has tokens say so of their PIN. */
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);

static CK_FUNCTION_LIST *behind, own;
static char place[3000];

static const char *beside(const char *name)
{
	static char path[sizeof(place) + 64];

	snprintf(path, sizeof(path), "%s/%s", place, name);
	return path;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG n)
{
	int fd = open(beside("logins"), O_WRONLY | O_CREAT | O_APPEND, 0600);

	if (fd < 0 || write(fd, ".", 1) != 1 || close(fd) < 0)
		return CKR_GENERAL_ERROR;
	return behind->C_Login(session, user, pin, n);
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	CK_RV rv = behind->C_GetTokenInfo(slot, info);

	if (access(beside("final"), F_OK) == 0)
		info->flags |= CKF_USER_PIN_FINAL_TRY;
	if (access(beside("locked"), F_OK) == 0)
		info->flags |= CKF_USER_PIN_LOCKED;
	return rv;
}

static int find_place(void)
{
	Dl_info info;

	if (!dladdr(&own, &info) || strlen(info.dli_fname) >= sizeof(place))
		return -1;
	strcpy(place, info.dli_fname);
	*strrchr(place, '/') = '\0';
	return setenv("SOFTHSM2_CONF", beside("conf"), 1);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
	void *library = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
	CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;

	if (library)
		*(void **)&get = dlsym(library, "C_GetFunctionList");
	if (!get || find_place() < 0 || get(&behind) != CKR_OK)
		return CKR_GENERAL_ERROR;
	own = *behind;
	own.C_Login = login;
	own.C_GetTokenInfo = token_info;
	*list = &own;
	return CKR_OK;
}
