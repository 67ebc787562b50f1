/* contact: one record in a file, with two encrypted fields, edited through libcoffer-field.
 *
 *     contact KEYRING KEYFILE RECORD                     shows the record
 *     contact KEYRING KEYFILE RECORD FIELD set < VALUE   sets a field, from standard input so that no list of processes shows it
 *     contact KEYRING KEYFILE RECORD FIELD empty         takes its value away
 *
 * A record is a file of lines NAME=TEXT; its name is the record's id.  "note" is any text, "born" a date; each stands there as a token that opens
 * in this field of this record only.  Every other line is in clear and stays.
 *
 *     cc contact.c -o contact $(pkg-config --cflags --libs coffer-field) */
#define _GNU_SOURCE 1
#include <coffer/field.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 100, VALUE_MAX = 10000 };

struct record {
	const char *file;
	char *lines[LINES_MAX]; /* NAME=TEXT */
	size_t count;
};

static const struct coffer_field_place places[] = {
	{.context = "example", .table = "contact", .field = "note"},
	{.context = "example", .table = "contact", .field = "born"},
};
enum { NOTE, BORN, FIELDS };

/* ------------------------------------------------------------------ the file */

static int record_read(struct record *r, const char *file)
{
	FILE *f = fopen(file, "re");
	char *line = NULL;
	size_t room = 0;

	*r = (struct record){.file = file};
	if (!f)
		return errno == ENOENT ? 0 : -errno; /* a new record */
	while (r->count < LINES_MAX && getline(&line, &room, f) >= 0) {
		line[strcspn(line, "\n")] = '\0';
		r->lines[r->count++] = line;
		line = NULL;
	}
	free(line);
	fclose(f);
	return 0;
}

/* Whole or not at all. */
static int record_write(const struct record *r)
{
	char *temporary;
	int ret = 0;
	FILE *f;

	if (asprintf(&temporary, "%s.new", r->file) < 0)
		return -ENOMEM;
	f = fopen(temporary, "we");
	for (size_t i = 0; f && i < r->count; i++)
		if (fprintf(f, "%s\n", r->lines[i]) < 0)
			ret = -errno;
	if (!f || fclose(f) != 0 || (ret == 0 && rename(temporary, r->file) < 0))
		ret = -errno;
	free(temporary);
	return ret;
}

static void record_free(struct record *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->lines[i]);
}

/* The line of the field; NULL: it has none. */
static char **record_find(struct record *r, const char *field)
{
	size_t n = strlen(field);

	for (size_t i = 0; i < r->count; i++)
		if (strncmp(r->lines[i], field, n) == 0 && r->lines[i][n] == '=')
			return &r->lines[i];
	return NULL;
}

/* Puts the token in the place of the old one; NULL takes the line away. */
static int record_put(struct record *r, const char *field, const char *token)
{
	char **at = record_find(r, field), *line = NULL;

	if (token && asprintf(&line, "%s=%s", field, token) < 0)
		return -ENOMEM;
	if (at)
		free(*at);
	if (!at && line && r->count == LINES_MAX) {
		free(line);
		return -E2BIG;
	}
	if (at && line)
		*at = line;
	else if (line)
		r->lines[r->count++] = line;
	else if (at)
		*at = r->lines[--r->count];
	return 0;
}

/* ------------------------------------------------------------------ its encrypted fields */

struct form {
	struct coffer_field_keyring *keyring;
	struct record record;
};

static struct coffer_field_place place_of(const struct form *f, int field)
{
	struct coffer_field_place place = places[field];
	const char *slash = strrchr(f->record.file, '/');

	place.record = slash ? slash + 1 : f->record.file;
	return place;
}

static int complain(const struct form *f, const struct coffer_field_place *place, const char *token, int error)
{
	char text[400];

	coffer_field_explain(f->keyring, place, token, error, text, sizeof(text));
	fprintf(stderr, "contact: %s of %s: %s\n", place->field, place->record, text);
	return error;
}

/* The edit method of a form: reads the field, or sets it, in one call. */
static int edit(struct form *f, int field, bool set, const char *value, char **shown)
{
	const struct coffer_field_place place = place_of(f, field);
	char **line = record_find(&f->record, place.field), *old = line ? *line + strlen(place.field) + 1 : NULL;
	char *token = NULL;
	size_t size;
	int ret;

	/* The library frees the token that it replaces, so it gets a copy of its own making. */
	ret = old ? coffer_field_copy(old, &token) : 0;
	if (ret == 0 && field == NOTE)
		ret = coffer_edit_encrypted_string_field(f->keyring, &place, set, value, &token, shown);
	else if (ret == 0)
		ret = coffer_edit_encrypted_field(f->keyring, &place, COFFER_FIELD_DATE, set, value,
						  value ? strlen(value) : 0, &token, (void **)shown, &size);
	if (ret < 0)
		ret = complain(f, &place, old, ret);
	else if (set && token && old && strcmp(token, old) == 0)
		puts("unchanged");
	else if (set)
		ret = record_put(&f->record, place.field, token);
	coffer_field_free(token);
	return ret;
}

static bool is_encrypted(const char *line)
{
	for (int field = 0; field < FIELDS; field++) {
		size_t n = strlen(places[field].field);

		if (strncmp(line, places[field].field, n) == 0 && line[n] == '=')
			return true;
	}
	return false;
}

static int show(struct form *f)
{
	int ret = 0;

	for (size_t i = 0; i < f->record.count; i++)
		if (!is_encrypted(f->record.lines[i]))
			puts(f->record.lines[i]);
	for (int field = 0; ret == 0 && field < FIELDS; field++) {
		char *shown = NULL;

		ret = edit(f, field, false, NULL, &shown);
		if (ret == 0 && shown)
			printf("%s: %s\n", places[field].field, shown);
		coffer_field_free(shown);
	}
	return ret;
}

static int change(struct form *f, const char *name, const char *verb)
{
	char value[VALUE_MAX + 1] = "", *shown = NULL;
	bool empty = strcmp(verb, "empty") == 0;
	int field = strcmp(name, "note") == 0 ? NOTE : strcmp(name, "born") == 0 ? BORN : -1, ret;

	if (field < 0 || (!empty && strcmp(verb, "set") != 0)) {
		fprintf(stderr, "contact: fields are note and born; set or empty\n");
		return -EINVAL;
	}
	if (!empty) {
		size_t n = fread(value, 1, VALUE_MAX, stdin);

		value[n] = '\0';
		if (n && value[n - 1] == '\n')
			value[n - 1] = '\0';
	}
	ret = edit(f, field, true, empty ? NULL : value, &shown);
	coffer_field_free(shown);
	return ret < 0 ? ret : record_write(&f->record);
}

int main(int argc, char **argv)
{
	struct form f = {0};
	char error[300];
	int ret;

	if (argc != 4 && argc != 6) {
		fprintf(stderr, "usage: contact KEYRING KEYFILE RECORD [FIELD set|empty]\n");
		return 2;
	}
	if (coffer_field_open(argv[1], argv[2], NULL, &f.keyring, error, sizeof(error)) < 0) {
		fprintf(stderr, "contact: %s\n", error);
		return 1;
	}
	ret = record_read(&f.record, argv[3]);
	if (ret < 0)
		fprintf(stderr, "contact: %s: %s\n", argv[3], strerror(-ret));
	else
		ret = argc == 4 ? show(&f) : change(&f, argv[4], argv[5]);
	record_free(&f.record);
	coffer_field_close(&f.keyring);
	return ret < 0;
}
