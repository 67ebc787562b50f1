/* The administrator's page (page.h). */
#include "keymgr/service/page.h"

#include <string.h>

#include "keymgr/service/page_data.h"

static const struct page_file files[] = {
	{"/", "text/html; charset=utf-8", index_html, sizeof(index_html)},
	{"/page.css", "text/css; charset=utf-8", page_css, sizeof(page_css)},
	{"/page.js", "text/javascript; charset=utf-8", page_js, sizeof(page_js)},
};

const struct page_file *page_find(struct http_text path)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (strlen(files[i].path) == path.size && memcmp(files[i].path, path.at, path.size) == 0)
			return &files[i];
	return NULL;
}
