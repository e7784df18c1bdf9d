/*
 * A stand-in for CSCS's uenv and Container Engine plugins: the options they
 * add to srun, what they refuse, and a trace of them in the task's
 * environment. Nothing is mounted.
 *
 *   --uenv=NAME[/VERSION[:TAG]]   NAME is one of the known ones below
 *   --view=NAME                   needs --uenv; default, modules or spack
 *   --environment=EDF             a file, or a name in ~/.edf (NAME.toml)
 *
 * As at CSCS, only srun has them: salloc and sbatch do not.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <slurm/spank.h>

SPANK_PLUGIN(cscs_lab, 1);

static char uenv[PATH_MAX], view[PATH_MAX], edf[PATH_MAX];

static int known(const char *name, size_t len, const char *const *names)
{
	for (; *names; names++)
		if (strlen(*names) == len && strncmp(name, *names, len) == 0)
			return 1;
	return 0;
}

static void keep(char *to, const char *value)
{
	snprintf(to, PATH_MAX, "%s", value);
}

static int set_uenv(int val, const char *optarg, int remote)
{
	static const char *const names[] = { "prgenv-gnu", "pytorch", "jupyterlab", NULL };

	(void)val;
	if (!remote && !known(optarg, strcspn(optarg, "/:"), names)) {
		slurm_error("uenv: no uenv matches '%s'", optarg);
		return -1;
	}
	keep(uenv, optarg);
	return 0;
}

static int set_view(int val, const char *optarg, int remote)
{
	static const char *const names[] = { "default", "modules", "spack", NULL };

	(void)val;
	if (!remote && !known(optarg, strlen(optarg), names)) {
		slurm_error("uenv: the view '%s' does not exist", optarg);
		return -1;
	}
	keep(view, optarg);
	return 0;
}

static int set_environment(int val, const char *optarg, int remote)
{
	char path[2 * PATH_MAX];
	const char *home = getenv("HOME");

	(void)val;
	if (strchr(optarg, '/'))
		snprintf(path, sizeof path, "%s", optarg);
	else
		snprintf(path, sizeof path, "%s/.edf/%s.toml", home ? home : "", optarg);
	if (!remote && access(path, R_OK) != 0) {
		slurm_error("environment: no EDF '%s': %s cannot be read", optarg, path);
		return -1;
	}
	keep(edf, optarg);
	return 0;
}

static struct spank_option options[] = {
	{ "uenv", "NAME", "the uenv to mount", 1, 0, set_uenv },
	{ "view", "NAME", "the view of the uenv to load", 1, 0, set_view },
	{ "environment", "EDF", "the container environment to run in", 1, 0, set_environment },
	SPANK_OPTIONS_TABLE_END
};

int slurm_spank_init(spank_t sp, int argc, char **argv)
{
	struct spank_option *option;
	spank_context_t context = spank_context();

	(void)argc;
	(void)argv;
	if (context != S_CTX_LOCAL && context != S_CTX_REMOTE)
		return 0;
	for (option = options; option->name; option++)
		if (spank_option_register(sp, option) != ESPANK_SUCCESS)
			return -1;
	return 0;
}

int slurm_spank_init_post_opt(spank_t sp, int argc, char **argv)
{
	(void)sp;
	(void)argc;
	(void)argv;
	if (spank_context() == S_CTX_LOCAL && *view && !*uenv) {
		slurm_error("uenv: --view was given without --uenv");
		return -1;
	}
	return 0;
}

int slurm_spank_user_init(spank_t sp, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (*uenv)
		spank_setenv(sp, "UENV_NAME", uenv, 1);
	if (*view)
		spank_setenv(sp, "UENV_VIEW", view, 1);
	if (*edf)
		spank_setenv(sp, "EDF_NAME", edf, 1);
	return 0;
}
