"""What can go wrong with a fetch, as one line that says what to do. A token is never part of it."""

import errno
import os

from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)


class FetchFailed(Exception):
    """`code` is one of the client protocol's closed list."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def explained(repository: str, problem: Exception) -> FetchFailed:
    """Any error of the hub or of the disk, as one line that says what to do."""
    hub = constants.ENDPOINT
    token = "set HF_TOKEN to a token that may read it, before `warden up`" if not os.environ.get("HF_TOKEN") else (
        "the token in HF_TOKEN may not read it")
    match problem:
        case FetchFailed():
            return problem
        case GatedRepoError():
            return FetchFailed("model_not_found", f"{repository} is gated: ask for access on {hub}/{repository}; "
                               f"{token}")
        case RepositoryNotFoundError():
            return FetchFailed("model_not_found", f"{hub} has no {repository}, or it is private: correct the name "
                               f"(such as mlx-community/NAME), or {token}")
        case HfHubHTTPError() if problem.response is not None and problem.response.status_code in (401, 403):
            return FetchFailed("model_not_found", f"{hub} refuses {repository}; {token}")
        case HFValidationError():
            return FetchFailed("invalid_request", f"model: {repository} is no name of a repository: {problem}")
        case OfflineModeIsEnabled():
            return FetchFailed("upstream_failed", "HF_HUB_OFFLINE is set, so nothing is fetched; unset it and run "
                               "`warden down`, then `warden up`")
        case HfHubHTTPError() if problem.response is not None:
            return FetchFailed("upstream_failed", f"{hub} answers {problem.response.status_code}; pull again "
                               "later: it goes on where it was")
        case HTTPError():
            return FetchFailed("upstream_failed", f"{hub} cannot be reached or broke off ({kind(problem)}); look at "
                               "the network (or HF_ENDPOINT) and pull again: it goes on where it was")
        case OSError() if problem.errno == errno.ENOSPC:
            return FetchFailed("insufficient_memory", "the disk is full; make room and pull again: it goes on where it "
                               "was")
    return FetchFailed("internal", f"the model cannot be kept: {kind(problem)}")


def kind(problem: Exception) -> str:
    first = next(iter(str(problem).splitlines()), "")
    return f"{type(problem).__name__}: {first[:200]}" if first else type(problem).__name__
