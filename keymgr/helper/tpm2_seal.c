/* Sealing in a TPM.
 *
 * 1. The parent is the storage key of the owner that every TPM makes again from the same template, so nothing is kept in it.
 * 2. The object opens under its policy only: the PCRs as they were, and the PIN where there is one; it cannot be moved to another TPM.
 * 3. What is secret passes the bus encrypted, under a salt for the parent.
 * 4. With a PIN the TPM counts wrong ones; without, nothing counts (noDA), so that nobody is locked out by a boot that was another. */
#include <string.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#include "keymgr/helper/tpm2.h"
#include "util/base/secret.h"

enum { NONE = ESYS_TR_NONE, PASSWORD = ESYS_TR_PASSWORD };

static enum tpm2_status failed(const char *what, TSS2_RC rc)
{
	return say(TPM2_FAILED, "%s: %s", what, Tss2_RC_Decode(rc));
}

/* Codes of "format one" have numbers of parameters in them, which say nothing here (part 2, section 6.6). */
static TSS2_RC code_of(TSS2_RC rc)
{
	return rc & TPM2_RC_FMT1 ? rc & (TPM2_RC_FMT1 | 0x3f) : rc;
}

/* Of digits and commas, ascending; who made it has looked. */
static enum tpm2_status parse_pcrs(struct span text, TPML_PCR_SELECTION *out)
{
	unsigned n = 0;

	*out = (TPML_PCR_SELECTION){.count = 1};
	out->pcrSelections[0] = (TPMS_PCR_SELECTION){.hash = TPM2_ALG_SHA256, .sizeofSelect = TPM2_PCR_COUNT / 8};
	for (size_t i = 0; i < text.size; i++) {
		if (text.at[i] == ',') {
			n = 0;
			continue;
		}
		n = n * 10 + (text.at[i] - (unsigned)'0');
		if (n >= TPM2_PCR_COUNT)
			return say(TPM2_FAILED, "there is no such PCR");
		if (i + 1 == text.size || text.at[i + 1] == ',')
			out->pcrSelections[0].pcrSelect[n / 8] |= (BYTE)(1U << n % 8);
	}
	if (text.size == 0)
		out->count = 0;
	return TPM2_DONE;
}

/* (1): the template of the TCG's EK credential profile for a storage key on P-256. */
static enum tpm2_status make_primary(struct tpm *t)
{
	static const TPM2B_PUBLIC template = {
		.publicArea =
			{
				.type = TPM2_ALG_ECC,
				.nameAlg = TPM2_ALG_SHA256,
				.objectAttributes = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT |
						    TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
						    TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
						    TPMA_OBJECT_NODA,
				.parameters.eccDetail =
					{
						.symmetric = {.algorithm = TPM2_ALG_AES,
							      .keyBits.aes = 128,
							      .mode.aes = TPM2_ALG_CFB},
						.scheme.scheme = TPM2_ALG_NULL,
						.curveID = TPM2_ECC_NIST_P256,
						.kdf.scheme = TPM2_ALG_NULL,
					},
			},
	};
	const TPM2B_SENSITIVE_CREATE nothing = {0};
	const TPM2B_DATA outside = {0};
	const TPML_PCR_SELECTION no_pcrs = {0};
	TSS2_RC rc = Esys_CreatePrimary(t->esys, ESYS_TR_RH_OWNER, PASSWORD, NONE, NONE, &nothing, &template, &outside,
					&no_pcrs, &t->primary, NULL, NULL, NULL, NULL);

	return rc == TSS2_RC_SUCCESS ? TPM2_DONE : failed("the TPM makes no storage key", rc);
}

enum tpm2_status tpm_open(struct tpm *t, struct span tcti, struct span pcrs, struct span pin)
{
	char name[TPM2_TCTI_MAX + 1];
	TSS2_RC rc;
	enum tpm2_status s = parse_pcrs(pcrs, &t->pcrs);

	if (tcti.size > TPM2_TCTI_MAX || pin.size > TPM2_PIN_MAX)
		return say(TPM2_FAILED, "too long");
	if (s != TPM2_DONE)
		return s;
	memcpy(name, tcti.at, tcti.size);
	name[tcti.size] = '\0';
	t->pin.size = (UINT16)pin.size;
	memcpy(t->pin.buffer, pin.at, pin.size);
	rc = Tss2_TctiLdr_Initialize(tcti.size ? name : NULL, &t->tcti);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_Initialize(&t->esys, t->tcti, NULL);
	return rc == TSS2_RC_SUCCESS ? make_primary(t) : say(TPM2_NOT_THERE, "no TPM is reached");
}

static void flush(struct tpm *t, ESYS_TR *what)
{
	if (*what != ESYS_TR_NONE)
		(void)Esys_FlushContext(t->esys, *what);
	*what = ESYS_TR_NONE;
}

void tpm_close(struct tpm *t)
{
	if (t->esys) {
		flush(t, &t->object);
		flush(t, &t->session);
		flush(t, &t->primary);
		Esys_Finalize(&t->esys);
	}
	if (t->tcti)
		Tss2_TctiLdr_Finalize(&t->tcti);
	wipe(&t->pin, sizeof(t->pin));
}

/* (3). */
static enum tpm2_status start_session(struct tpm *t, TPM2_SE kind, TPMA_SESSION encrypt)
{
	const TPMT_SYM_DEF cipher = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
	TSS2_RC rc = Esys_StartAuthSession(t->esys, t->primary, NONE, NONE, NONE, NONE, NULL, kind, &cipher,
					   TPM2_ALG_SHA256, &t->session);

	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_TRSess_SetAttributes(t->esys, t->session, encrypt | TPMA_SESSION_CONTINUESESSION, 0xff);
	return rc == TSS2_RC_SUCCESS ? TPM2_DONE : failed("no session with the TPM", rc);
}

/* (2). */
static enum tpm2_status say_policy(struct tpm *t)
{
	const TPM2B_DIGEST as_they_are = {0};
	TSS2_RC rc = TSS2_RC_SUCCESS;

	if (t->pcrs.count > 0)
		rc = Esys_PolicyPCR(t->esys, t->session, NONE, NONE, NONE, &as_they_are, &t->pcrs);
	if (rc == TSS2_RC_SUCCESS && t->pin.size > 0)
		rc = Esys_PolicyAuthValue(t->esys, t->session, NONE, NONE, NONE);
	return rc == TSS2_RC_SUCCESS ? TPM2_DONE : failed("the TPM takes no such policy", rc);
}

static enum tpm2_status policy_digest(struct tpm *t, TPM2B_DIGEST *out)
{
	TPM2B_DIGEST *digest = NULL;
	enum tpm2_status s = start_session(t, TPM2_SE_TRIAL, 0);
	TSS2_RC rc;

	if (s == TPM2_DONE)
		s = say_policy(t);
	if (s != TPM2_DONE)
		return s;
	rc = Esys_PolicyGetDigest(t->esys, t->session, NONE, NONE, NONE, &digest);
	flush(t, &t->session);
	if (rc != TSS2_RC_SUCCESS)
		return failed("the TPM gives no digest of a policy", rc);
	*out = *digest;
	Esys_Free(digest);
	return TPM2_DONE;
}

static enum tpm2_status create(struct tpm *t, struct span plain, const TPM2B_DIGEST *policy, TPM2B_PUBLIC **public,
			       TPM2B_PRIVATE **private)
{
	const TPM2B_PUBLIC template = {
		.publicArea =
			{
				.type = TPM2_ALG_KEYEDHASH,
				.nameAlg = TPM2_ALG_SHA256,
				.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
						    (t->pin.size ? 0 : TPMA_OBJECT_NODA),
				.authPolicy = *policy,
				.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
			},
	};
	TPM2B_SENSITIVE_CREATE inside = {.sensitive = {.userAuth = t->pin, .data.size = TPM2_PLAIN_SIZE}};
	const TPM2B_DATA outside = {0};
	const TPML_PCR_SELECTION no_pcrs = {0};
	TSS2_RC rc;

	memcpy(inside.sensitive.data.buffer, plain.at, TPM2_PLAIN_SIZE);
	rc = Esys_Create(t->esys, t->primary, PASSWORD, t->session, NONE, &inside, &template, &outside, &no_pcrs,
			 private, public, NULL, NULL, NULL);
	wipe(&inside, sizeof(inside));
	return rc == TSS2_RC_SUCCESS ? TPM2_DONE : failed("the TPM does not seal", rc);
}

static enum tpm2_status marshal(const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, uint8_t *out, size_t *n,
				uint8_t *private_out, size_t *private_n)
{
	size_t at = 0, private_at = 0;

	if (Tss2_MU_TPM2B_PUBLIC_Marshal(public, out, TPM2_PART_MAX, &at) != TSS2_RC_SUCCESS ||
	    Tss2_MU_TPM2B_PRIVATE_Marshal(private, private_out, TPM2_PART_MAX, &private_at) != TSS2_RC_SUCCESS)
		return say(TPM2_FAILED, "what the TPM sealed is too long");
	*n = at;
	*private_n = private_at;
	return TPM2_DONE;
}

enum tpm2_status tpm_seal(struct tpm *t, struct span plain, uint8_t *public, size_t *public_size, uint8_t *private,
			  size_t *private_size)
{
	TPM2B_PUBLIC *its_public = NULL;
	TPM2B_PRIVATE *its_private = NULL;
	TPM2B_DIGEST policy;
	uint8_t again[TPM2_PLAIN_SIZE];
	enum tpm2_status s =
		plain.size == TPM2_PLAIN_SIZE ? policy_digest(t, &policy) : say(TPM2_FAILED, "nothing to seal");

	if (s == TPM2_DONE)
		s = start_session(t, TPM2_SE_HMAC, TPMA_SESSION_DECRYPT);
	if (s == TPM2_DONE)
		s = create(t, plain, &policy, &its_public, &its_private);
	if (s == TPM2_DONE)
		s = marshal(its_public, its_private, public, public_size, private, private_size);
	Esys_Free(its_public);
	Esys_Free(its_private);
	flush(t, &t->session);
	if (s == TPM2_DONE)
		s = tpm_unseal(t, (struct span){public, *public_size}, (struct span){private, *private_size}, again);
	if (s == TPM2_DONE && memcmp(again, plain.at, sizeof(again)) != 0)
		s = say(TPM2_FAILED, "the TPM does not give back what it was given");
	wipe(again, sizeof(again));
	return s;
}

static enum tpm2_status load(struct tpm *t, struct span public, struct span private)
{
	TPM2B_PUBLIC its_public = {0};
	TPM2B_PRIVATE its_private = {0};
	size_t at = 0, private_at = 0;
	TSS2_RC rc;

	if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(public.at, public.size, &at, &its_public) != TSS2_RC_SUCCESS ||
	    Tss2_MU_TPM2B_PRIVATE_Unmarshal(private.at, private.size, &private_at, &its_private) != TSS2_RC_SUCCESS ||
	    at != public.size || private_at != private.size)
		return say(TPM2_DOES_NOT_OPEN, "what is to be opened is malformed");
	rc = Esys_Load(t->esys, t->primary, PASSWORD, NONE, NONE, &its_private, &its_public, &t->object);
	if (rc & TPM2_RC_FMT1)
		return say(TPM2_DOES_NOT_OPEN, "it is another TPM's, or was changed");
	if (rc == TSS2_RC_SUCCESS && t->pin.size > 0)
		rc = Esys_TR_SetAuth(t->esys, t->object, &t->pin);
	return rc == TSS2_RC_SUCCESS ? TPM2_DONE : failed("the TPM does not load it", rc);
}

static enum tpm2_status judge(TSS2_RC rc)
{
	switch (code_of(rc)) {
	case TSS2_RC_SUCCESS:
		return TPM2_DONE;
	case TPM2_RC_AUTH_FAIL:
	case TPM2_RC_BAD_AUTH:
		return say(TPM2_WRONG_PIN, "the PIN is wrong");
	case TPM2_RC_POLICY_FAIL:
	case TPM2_RC_PCR_CHANGED:
		return say(TPM2_OTHER_PCRS, "this boot is another one than it is sealed for");
	case TPM2_RC_LOCKOUT:
		return say(TPM2_LOCKED_OUT, "the TPM takes no PIN for a while, after wrong ones");
	default:
		return failed("the TPM does not open it", rc);
	}
}

enum tpm2_status tpm_unseal(struct tpm *t, struct span public, struct span private, uint8_t plain[TPM2_PLAIN_SIZE])
{
	TPM2B_SENSITIVE_DATA *data = NULL;
	enum tpm2_status s = load(t, public, private);

	if (s == TPM2_DONE)
		s = start_session(t, TPM2_SE_POLICY, TPMA_SESSION_ENCRYPT);
	if (s == TPM2_DONE)
		s = say_policy(t);
	if (s == TPM2_DONE)
		s = judge(Esys_Unseal(t->esys, t->object, t->session, NONE, NONE, &data));
	if (s != TPM2_DONE)
		return s;
	if (data->size == TPM2_PLAIN_SIZE)
		memcpy(plain, data->buffer, TPM2_PLAIN_SIZE);
	else
		s = say(TPM2_DOES_NOT_OPEN, "it holds something else than a key");
	wipe(data, sizeof(*data));
	Esys_Free(data);
	return s;
}
