# The configuration of the Jupyter server of a cscs session, in the session's directory.
# Jupyter reads it by --config, in place of the user's configuration, so it loads that first.
# Then it sets the session's token, and the directory for files with that token or a kernel's key.
# No environment variable holds either, since terminals, kernels and their jobs would inherit it.
# It works with traitlets 4.3 and later.
import os

from traitlets.config import Application
from traitlets.config.loader import ConfigFileNotFound, JSONFileConfigLoader, PyFileConfigLoader

app = Application.instance()
session = os.path.dirname(os.path.abspath(__file__))


def load(name, directory):
    """Merge name.py and name.json of a directory into c, as Application.load_config_file does."""
    for loader, extension in (PyFileConfigLoader, ".py"), (JSONFileConfigLoader, ".json"):
        try:
            c.merge(loader(name + extension, path=directory, log=app.log).load_config())
        except ConfigFileNotFound:
            pass
        except Exception:
            if getattr(app, "raise_config_file_errors", False):
                raise
            app.log.error("Exception while loading config file %s", os.path.join(directory, name + extension), exc_info=True)


if user_config:  # the --config of the user, which replaces the files of the configuration path
    directory, name = os.path.split(os.path.expanduser(user_config))
    load(os.path.splitext(name)[0], directory)
else:
    for directory in reversed(app.config_file_paths):
        load(app.config_file_name, directory)

app.runtime_dir = os.path.join(session, "runtime")
with open(os.path.join(session, "token")) as file:
    token = file.read()
if hasattr(app, "identity_provider_class"):  # Jupyter Server 2 and later
    # The subclass is the default. Its section has priority over the section of its base.
    c.IdentityProvider.token = c.PasswordIdentityProvider.token = token
else:
    c.ServerApp.token = c.NotebookApp.token = token
