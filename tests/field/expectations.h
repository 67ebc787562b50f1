/* What the public sets want of each file, and what is refused here on purpose. */

static enum wanted json_wanted(const char *path, const char *name)
{
	(void)path;
	if (!ends_with(name, ".json"))
		return SKIP;
	return name[0] == 'y' ? PARSE : name[0] == 'n' ? REFUSE : EITHER;
}

static enum wanted csv_wanted(const char *path, const char *name)
{
	(void)path;
	if (strcmp(name, "csv-141.csv") == 0)
		return REFUSE; /* broken quotes */
	if (strcmp(name, "sample1.csv") == 0)
		return EITHER; /* comments, quotes inside bare fields */
	if (strstr(path, "/CSVFileParser/"))
		return EITHER; /* dialects, told in .txt beside them */
	return ends_with(name, ".csv") || strcmp(name, "sample.txt") == 0 || strcmp(name, "empty.txt") == 0 ? PARSE
													    : SKIP;
}

static enum wanted tsv_wanted(const char *path, const char *name)
{
	(void)path;
	return ends_with(name, ".tsv") ? EITHER : SKIP; /* backslash escapes: no RFC 4180 */
}

static enum wanted env_wanted(const char *path, const char *name)
{
	(void)path;
	if (strcmp(name, "LICENSE") == 0 || ends_with(name, ".json"))
		return SKIP;
	if (strcmp(name, "yaml.env") == 0)
		return EITHER; /* NAME: value */
	return PARSE;
}

static enum wanted ini_wanted(const char *path, const char *name)
{
	(void)path;
	if (strcmp(name, "bad_section.ini") == 0 || strcmp(name, "bad_comment.ini") == 0 ||
	    strcmp(name, "name_only_after_error.ini") == 0)
		return REFUSE;
	if (strcmp(name, "cfgparser.3") == 0 || strcmp(name, "fuzz-case1.ini") == 0)
		return EITHER; /* Python's own rules; no text */
	/* A name without a value: refused by one project, taken by the others and here. */
	return ends_with(name, ".ini") || strcmp(name, "cfgparser.1") == 0 ? PARSE : SKIP;
}

static enum wanted either(const char *path, const char *name)
{
	(void)path;
	return strcmp(name, "LICENSE") == 0 ? SKIP : EITHER;
}

static enum wanted toml_wanted(const char *path, const char *name)
{
	if (!ends_with(name, ".toml"))
		return SKIP;
	return strstr(path, "/toml/invalid/") ? REFUSE : PARSE;
}

static enum wanted yaml_wanted(const char *path, const char *name)
{
	char error[4096];

	if (strcmp(name, "in.yaml") != 0)
		return SKIP;
	snprintf(error, sizeof(error), "%.*s/error", (int)(strlen(path) - strlen("/in.yaml")), path);
	return access(error, F_OK) == 0 ? REFUSE : PARSE;
}

static enum wanted xml_wanted(const char *path, const char *name)
{
	/* On purpose: UTF-16. */
	static const char *const wide[] = {"sun-utf16l.xml", "sun-utf16b.xml", "eduni-misc-008.xml",
					   "eduni-misc-009.xml", "oasis-p02fail1.xml"};

	if (!ends_with(name, ".xml"))
		return SKIP;
	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
		if (strcmp(name, wide[i]) == 0)
			return REFUSE;
	/* Names of the fifth edition of XML 1.0, which expat does not have; a byte order mark that contradicts the declaration. */
	if (strstr(path, "/xml/error/") || strstr(name, "eduni-errata-4e-") == name ||
	    strcmp(name, "eduni-misc-007.xml") == 0)
		return EITHER;
	return strstr(path, "/xml/not-wf/") ? REFUSE : PARSE;
}

static const struct set sets[] = {
	{"json", "json", json_wanted, {0}},
	{"json", "json", either, {.lenient = true}},
	{"json", "jsonl", either, {0}},
	{"csv", "csv", csv_wanted, {0}},
	{"csv", "csv", either, {.no_header = true}},
	{"csv", "csv", tsv_wanted, {.separator = '\t'}},
	{"env", "env", env_wanted, {0}},
	{"ini", "ini", ini_wanted, {0}},
	{"ini", "ini", either, {.dialect = "git"}},
	{"ini", "ini", either, {.dialect = "systemd"}},
	{"ini", "ini", either, {.dialect = "php"}},
	{"toml", "toml", toml_wanted, {0}},
	{"yaml", "yaml", yaml_wanted, {0}},
	{"json", "yaml", either, {0}},
	{"xml", "xml", xml_wanted, {0}},
	{"ini", "properties", either, {0}},
	{"env", "properties", either, {0}},
};
