"""Every error of a fetch is one line with a remedy, and none holds a token."""

import errno

import pytest
from huggingface_hub.errors import HFValidationError, HTTPError, OfflineModeIsEnabled

from workers.fetch_errors import FetchFailed, explained


@pytest.mark.parametrize("problem, code, hint", [
    (FetchFailed("invalid_request", "as it was said"), "invalid_request", "as it was said"),
    (HFValidationError("Repo id must be so"), "invalid_request", "org/x is no name of a repository"),
    (OfflineModeIsEnabled("offline"), "upstream_failed", "HF_HUB_OFFLINE"),
    (HTTPError("refused\nsecond line"), "upstream_failed", "cannot be reached or broke off (HTTPError: refused)"),
    (OSError(errno.ENOSPC, "No space left on device"), "insufficient_memory", "the disk is full; make room"),
    (OSError(errno.EACCES, "Permission denied"), "internal", "Permission denied"),
    (ValueError(""), "internal", "ValueError")])
def test_an_error_is_one_line_that_says_what_to_do(problem, code, hint, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    failed = explained("org/x", problem)
    assert failed.code == code and hint in str(failed)
    assert "\n" not in str(failed) and "hf_secret" not in str(failed)
