/* coffer-keyd while it runs. */
#ifndef COFFER_SERVICE_RUN_H
#define COFFER_SERVICE_RUN_H

#include "keymgr/service/place.h"
#include "keymgr/service/schedule.h"
#include "keymgr/service/server.h"

struct run_options {
	const char *listen;  /* ADDR:PORT */
	const char *metrics; /* ADDR:PORT of metrics and health; NULL: none */
	const char *etcd;    /* where the store is; NULL: in the directory */
	const char *anchor;  /* the file; NULL: in the directory */
	struct {
		const char *cert, *key; /* files; instead of what the service has itself */
	} own[2];
	size_t own_count;
	bool require_etm;
	int max_rate; /* requests of one client in a second; 0: as many as it likes */
	struct schedule_options backup;
	struct server_limits limits;
	const struct unlock_source *source;
};
/* Serves DIR until it is told to end.  Says "listening on ADDR:PORT" on standard output when it answers. */
int run_service(const char *dir, const struct run_options *o, struct fault *why) MUST_CHECK;

#endif
