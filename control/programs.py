"""supervisord's file while the stack runs: the programs of models that were pulled or deleted since `warden up`.

Only the sections of the models are written anew, from the template; all else stays as `warden up` wrote it. The file
appears whole, 0600 as before. That supervisord reads it is an order of its own.
"""

from control.config import Config
from control.home import Home
from control.private_file import write_private
from control.supervisor_conf import RenderRefused, template_path, with_workers


def write_programs(config: Config, home: Home) -> str:
    """"" if the file has them now, or had them; else why not. A home without the file is none that supervisord runs."""
    path = home.supervisor_conf
    try:
        standing = path.read_text(encoding="utf-8")
        text = with_workers(standing, config, home, template_path().read_text(encoding="utf-8"))
        if text == standing:
            return ""
        write_private(path, text.encode(), by="control")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        return f"{path}: cannot be written ({error}); mend that and ask again"
    except RenderRefused as refused:
        return str(refused)
    return ""
