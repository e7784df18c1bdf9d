/*
 * A stand-in for CSCS's uenv and Container Engine plugins: the options that
 * they add to srun, what they refuse, and what a task then sees.
 *
 *   --uenv=NAME[/VERSION[:TAG]]   one of the known names below, or a directory of --repo
 *   --view=NAME                   needs --uenv; default, modules or spack
 *   --repo=DIRECTORY              where --uenv is looked up
 *   --no-default-view             without --view, load no view; else that is "default"
 *   --uenv-passthrough=HOW        use, ignore or disable
 *   --environment=EDF             see edf.py
 *   --container-workdir=DIRECTORY instead of the EDF's workdir
 *
 * As at CSCS, srun changes PATH and PYTHONPATH for a view before it sends the
 * environment to the step, and the node mounts the uenv at /user-environment.
 * A container gets a root of its own, made by the user in a user namespace, as
 * enroot does it: the image, what the EDF mounts, and nothing else of the host
 * but /proc, /sys and /dev. Variables of the image and of the EDF win over
 * those of the host; an empty value unsets a variable.
 *
 * Only srun has these options: salloc and sbatch do not.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <slurm/spank.h>

SPANK_PLUGIN(cscs_lab, 1);

#define EDF_PROGRAM "/usr/lib/slurm-cscs-lab/edf"
#define UENVS "/opt/uenv"
#define UENV_MOUNT "/user-environment"
/* srun hands the container's description to the node in this variable. */
#define CONTAINER "CSCS_LAB_CONTAINER"
/* The container's root is put together here, in a mount namespace of its own. */
#define NEW_ROOT "/mnt"
#define TEXT_MAX (256 * 1024)

static char uenv[PATH_MAX], view[PATH_MAX], repo[PATH_MAX], passthrough[PATH_MAX];
static char edf[PATH_MAX], workdir[PATH_MAX];
static int no_default_view;

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
	(void)val;
	(void)remote;
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

static int set_repo(int val, const char *optarg, int remote)
{
	(void)val;
	if (!remote && access(optarg, R_OK) != 0) {
		slurm_error("uenv: the repository %s does not exist", optarg);
		return -1;
	}
	keep(repo, optarg);
	return 0;
}

static int set_no_default_view(int val, const char *optarg, int remote)
{
	(void)val;
	(void)optarg;
	(void)remote;
	no_default_view = 1;
	return 0;
}

static int set_passthrough(int val, const char *optarg, int remote)
{
	static const char *const names[] = { "use", "ignore", "disable", NULL };

	(void)val;
	if (!remote && !known(optarg, strlen(optarg), names)) {
		slurm_error("uenv: --uenv-passthrough: '%s' is not one of use, ignore, disable", optarg);
		return -1;
	}
	keep(passthrough, optarg);
	return 0;
}

static int set_environment(int val, const char *optarg, int remote)
{
	(void)val;
	(void)remote;
	keep(edf, optarg);
	return 0;
}

static int set_workdir(int val, const char *optarg, int remote)
{
	(void)val;
	(void)remote;
	keep(workdir, optarg);
	return 0;
}

static struct spank_option options[] = {
	{ "uenv", "NAME", "the uenv to mount", 1, 0, set_uenv },
	{ "view", "NAME", "the view of the uenv to load", 1, 0, set_view },
	{ "repo", "DIRECTORY", "where the uenv is looked up", 1, 0, set_repo },
	{ "no-default-view", NULL, "load no view by default", 0, 0, set_no_default_view },
	{ "uenv-passthrough", "HOW", "what becomes of a uenv that is loaded", 1, 0, set_passthrough },
	{ "environment", "EDF", "the container environment to run in", 1, 0, set_environment },
	{ "container-workdir", "DIRECTORY", "the directory to start in", 1, 0, set_workdir },
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

/* uenv_directory TO: where the files of the uenv are on this host. */
static void uenv_directory(char *to)
{
	snprintf(to, 2 * PATH_MAX, "%s/%.*s", *repo ? repo : UENVS, (int)strcspn(uenv, "/:"), uenv);
}

static void prepend(const char *name, const char *dir)
{
	const char *old = getenv(name);
	char *text;

	if (asprintf(&text, "%s%s%s", dir, old && *old ? ":" : "", old ? old : "") < 0)
		return;
	setenv(name, text, 1);
	free(text);
}

static int load_uenv(void)
{
	char dir[2 * PATH_MAX];

	if (!*uenv && *view) {
		slurm_error("uenv: --view was given without --uenv");
		return -1;
	}
	if (!*uenv)
		return 0;
	uenv_directory(dir);
	if (access(dir, R_OK) != 0) {
		slurm_error("uenv: no uenv matches '%s'", uenv);
		return -1;
	}
	if (!*view && !no_default_view)
		keep(view, "default");
	setenv("UENV_NAME", uenv, 1);
	if (*passthrough)
		setenv("UENV_PASSTHROUGH", passthrough, 1);
	if (!*view)
		return 0;
	setenv("UENV_VIEW", view, 1);
	snprintf(dir, sizeof dir, UENV_MOUNT "/env/%.255s/bin", view);
	prepend("PATH", dir);
	snprintf(dir, sizeof dir, UENV_MOUNT "/env/%.255s/lib/python/site-packages", view);
	prepend("PYTHONPATH", dir);
	return 0;
}

/* read_edf: the description of the container, or the error, is what EDF_PROGRAM prints. */
static int read_edf(void)
{
	char *text = calloc(1, TEXT_MAX);
	size_t len;
	FILE *f;

	if (!*edf)
		return 0;
	setenv("CSCS_LAB_EDF", edf, 1);
	f = popen("exec " EDF_PROGRAM " 2>&1", "r");
	if (!text || !f)
		return -1;
	len = fread(text, 1, TEXT_MAX - 1, f);
	unsetenv("CSCS_LAB_EDF");
	if (pclose(f) != 0) {
		slurm_error("environment: %.*s", (int)strcspn(text, "\n"), text);
		return -1;
	}
	text[len] = '\0';
	setenv(CONTAINER, text, 1);
	free(text);
	return 0;
}

int slurm_spank_init_post_opt(spank_t sp, int argc, char **argv)
{
	(void)sp;
	(void)argc;
	(void)argv;
	if (spank_context() != S_CTX_LOCAL)
		return 0;
	return load_uenv() || read_edf() ? -1 : 0;
}

static int fail(const char *format, ...)
{
	char text[3 * PATH_MAX];
	va_list args;
	int err = errno;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	slurm_error("%s: %s", text, strerror(err));
	return -1;
}

/* As root, in the task before it becomes the user's. */
int slurm_spank_task_init_privileged(spank_t sp, int argc, char **argv)
{
	char dir[2 * PATH_MAX];

	(void)sp;
	(void)argc;
	(void)argv;
	if (!*uenv)
		return 0;
	uenv_directory(dir);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) || mount(dir, UENV_MOUNT, NULL, MS_BIND, NULL))
		return fail("uenv: cannot mount %s at " UENV_MOUNT, dir);
	return 0;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), ok;

	if (fd < 0)
		return -1;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok ? 0 : -1;
}

/* new_namespaces: a mount namespace in which the user may mount. */
static int new_namespaces(void)
{
	char map[64], groups[64];

	snprintf(map, sizeof map, "%d %d 1\n", (int)getuid(), (int)getuid());
	snprintf(groups, sizeof groups, "%d %d 1\n", (int)getgid(), (int)getgid());
	/* What was root's process is not the user's to look at in /proc, unless it says so. */
	return prctl(PR_SET_DUMPABLE, 1) || unshare(CLONE_NEWUSER | CLONE_NEWNS) || write_file("/proc/self/setgroups", "deny") ||
	       write_file("/proc/self/uid_map", map) || write_file("/proc/self/gid_map", groups);
}

/* make_parents PATH: the directories above it. */
static void make_parents(const char *path)
{
	char copy[2 * PATH_MAX], *at;

	snprintf(copy, sizeof copy, "%s", path);
	for (at = strchr(copy + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		mkdir(copy, 0755);
		*at = '/';
	}
}

/* bind_at SOURCE TARGET: TARGET is a path in the container. */
static int bind_at(const char *source, const char *target)
{
	char path[2 * PATH_MAX];
	struct stat st;

	snprintf(path, sizeof path, NEW_ROOT "/%s", target);
	if (stat(source, &st))
		return -1;
	make_parents(path);
	if (S_ISDIR(st.st_mode))
		mkdir(path, 0755);
	else
		close(open(path, O_WRONLY | O_CREAT, 0644));
	return mount(source, path, NULL, MS_BIND | MS_REC, NULL);
}

static int copy_link(const char *source, const char *target)
{
	char to[PATH_MAX], path[2 * PATH_MAX];
	ssize_t n = readlink(source, to, sizeof to - 1);

	if (n < 0)
		return -1;
	to[n] = '\0';
	snprintf(path, sizeof path, NEW_ROOT "/%s", target);
	return symlink(to, path);
}

/* show_image DIRECTORY: an empty root that shows what the image has at its top. */
static int show_image(const char *image)
{
	static const char *const host[] = { "proc", "sys", "dev", NULL };
	char source[2 * PATH_MAX];
	const char *const *h;
	struct dirent *e;
	struct stat st;
	DIR *d = opendir(image);

	if (!d || mount("tmpfs", NEW_ROOT, "tmpfs", 0, "mode=755"))
		return fail("environment: the image %s cannot be used", image);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(source, sizeof source, "%s/%s", image, e->d_name);
		if (lstat(source, &st) || (S_ISLNK(st.st_mode) ? copy_link(source, e->d_name) : bind_at(source, e->d_name)))
			return fail("environment: cannot show %s", source);
	}
	closedir(d);
	for (h = host; *h; h++) {
		snprintf(source, sizeof source, "/%s", *h);
		if (bind_at(source, *h))
			return fail("environment: cannot mount %s", source);
	}
	mkdir(NEW_ROOT "/tmp", 01777);
	return 0;
}

/* enter_container TEXT: lines "image DIRECTORY", "mount SOURCE\tTARGET", "workdir DIRECTORY" and
 * "env NAME=VALUE", in that order. */
static int enter_container(spank_t sp, char *text)
{
	char *line, *next, *value, *rest;
	const char *dir = "/";

	if (new_namespaces() || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return fail("environment: no namespace for a container");
	for (line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) {
		value = strchr(line, ' ');
		if (!value)
			continue;
		*value++ = '\0';
		rest = strpbrk(value, "\t=");
		if (!strcmp(line, "image") && show_image(value))
			return -1;
		if (!strcmp(line, "workdir"))
			dir = value;
		if (!rest)
			continue;
		if (!strcmp(line, "mount")) {
			*rest++ = '\0';
			if (bind_at(value, rest))
				return fail("environment: cannot mount %s at %s", value, rest);
		}
		if (!strcmp(line, "env")) {
			*rest++ = '\0';
			if (*rest)
				spank_setenv(sp, value, rest, 1);
			else
				spank_unsetenv(sp, value);
		}
	}
	if (*workdir)
		dir = workdir;
	if (chdir(NEW_ROOT) || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		return fail("environment: cannot enter the container");
	if (chdir(dir))
		return fail("environment: the work directory %s is not in the container", dir);
	spank_setenv(sp, "PWD", dir, 1);
	return 0;
}

/* As the user, right before the command. */
int slurm_spank_task_init(spank_t sp, int argc, char **argv)
{
	char *text;
	int rc = 0;

	(void)argc;
	(void)argv;
	text = calloc(1, TEXT_MAX);
	if (*edf && text && spank_getenv(sp, CONTAINER, text, TEXT_MAX) == ESPANK_SUCCESS) {
		spank_unsetenv(sp, CONTAINER);
		rc = enter_container(sp, text);
	}
	free(text);
	return rc;
}
