/* The consistency check of a volume that is not mounted, and its repair. */
#ifndef COFFER_FS_CHECK_H
#define COFFER_FS_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "keymgr/unlock.h"

struct check_options {
	const char *volume; /* an absolute path */
	struct unlock_source unlock;
	/* Without deep: names, sidecars, id records, attributes, symbolic links with their bodies, sizes and heads.  Deep: also every map
	 * page and data page of every file. */
	bool deep;
	/* Mend what can be mended without inventing data, and move what cannot be read to .coffer/lost/; nothing that a user
	 * made is deleted.  Without it nothing is written, but that a file whose mode forbids its owner to open it is lent one for
	 * the moment of opening. */
	bool repair;
	/* A journal that was not ended cleanly stays as it is, and so does everything else: files that have records are not judged.  Without it
	 * it is brought in place first, as by a mount, whether or not anything is to be mended.  Not together with repair. */
	bool no_recover;
	/* Called now and then, from the thread that runs the check; NULL: not wanted.  total may grow.  False ends the check. */
	bool (*progress)(void *data, uint64_t bytes_done, uint64_t bytes_total);
	void *data;
};

enum check_severity {
	CHECK_NOTE,    /* worth knowing, nothing is lost: what a crash left, a name that only the store uses */
	CHECK_WARNING, /* works, but part of what protects it is gone (a second copy, an id record that was found again) */
	CHECK_ERROR, /* something cannot be read, or was tampered with */
};

struct check_finding {
	enum check_severity severity;
	bool repaired;
	bool plain; /* path is the name in the mount; else the backing path below DIR, where the name does not open */
	const char *
		kind; /* one word for programs, static: "page", "map", "head", "name", "directory-id", "size", "keyring" ... */
	char *path; /* relative; "" for the volume itself */
	char *text; /* one line: what is wrong, and what to do */
};

enum { CHECK_FINDINGS_MAX = 100000 };

struct check_report {
	uint64_t directories, files, symlinks, specials; /* looked at */
	uint64_t pages, bytes;                           /* opened (deep), bytes of ciphertext looked at */
	uint64_t errors, warnings, notes,
		repaired; /* all findings, also those above the limit; repaired are not among errors */
	bool recovered;   /* the journal was brought in place before anything was looked at: */
	uint64_t recovered_files, recovered_pages, recovery_ms;
	uint32_t lost_ranges;   /* times around crashes for which files still have to have their first look */
	bool lost_ranges_ended; /* they had it now */
	struct check_finding *list;
	size_t count, room;
};

/* Kinds:
 *   directory-id       the id record is missing or wrong             doubled-directory, doubled-file   two objects with one id
 *   name               does not belong to its directory              conflict   a copy that a sync client made below
 *   sidecar            of a long name: missing, wrong, unneeded      symlink, link-body   a target does not open; is missing, unneeded
 *   size, head         of a file                                     map, page  of a file (deep)
 *   generation         of a head or page: suspended, unknown, old    xattr      does not open
 *   keyring, settings  the two copies differ                         leftover, lost, stray, store
 *   journal            damaged, missing, not in place                young      of a file that a crash cut short as it was made
 *
 * Checks the whole volume.  0: the check went to its end, whatever it found; negative: it could not be done, *why says so
 * (-ECANCELED: progress returned false).
 * Takes the volume's lock.  The report is the caller's either way. */
int check_run(const struct check_options *o, struct check_report *report, struct fault *why) MUST_CHECK;

/* Adds a finding and counts it; path and text are copied.  Above CHECK_FINDINGS_MAX it is only counted. */
int check_report_add(struct check_report *r, const struct check_finding *f) MUST_CHECK;
void check_report_free(struct check_report *r);

#endif
