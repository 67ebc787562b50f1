/* What the public sets want of each file, and what is refused here on purpose. */

static enum wanted json_wanted(const char *path, const char *name)
{
	(void)path;
	if (!ends_with(name, ".json"))
		return SKIP;
	return name[0] == 'y' ? PARSE : name[0] == 'n' ? REFUSE : EITHER;
}

static const struct set sets[] = {
	{"json", "json", json_wanted, {0}, false},
};
