# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between here and the Hub, as errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from monai_vlsm.backbones.waiting import HubSilentError, bound_waiting
from monai_vlsm.errors import UserError

__all__ = ["HubError", "check_repo_id", "check_revision", "hub_errors"]

LOG_IN = "log in once with  hf auth login  or set HF_TOKEN to a token"
_TIMES = {429: "The Hub asks to wait", 413: "The Hub finds the file too large"}


class HubError(UserError, OSError):
    """The Hugging Face Hub cannot be reached, does not know the repository, or does not let us in."""


def check_repo_id(repo_id: str) -> None:
    """Make sure that a name is a full one, such as ``anna/polyp-adapters``.

    Raises:
        HubError: when it has no owner, or signs that the Hub does not take, such as ``..``.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        reason = str(error).rstrip(".")
        raise HubError(f"{repo_id!r} is no name of a repository: {reason}. Give OWNER/NAME") from error
    if "/" not in repo_id:
        raise HubError(
            f"{repo_id!r} has no owner: give OWNER/NAME, where the owner is an account or an organisation on the Hub; "
            "hf auth whoami  prints yours"
        )


def check_revision(revision: str | None) -> None:
    """Make sure that a text can be a branch, a tag or a commit.

    Raises:
        HubError: when git would not take it, for example with ``..`` or a space in it.
    """
    if revision is not None and (".." in revision or not re.fullmatch(r"[\w][\w./-]*", revision, re.ASCII)):
        raise HubError(f"{revision!r} is no revision: give the name of a branch or of a tag, or a commit")


@contextmanager
def hub_errors(repo_id: str, endpoint: str | None, revision: str | None = None) -> Iterator[None]:
    """Turn what huggingface_hub raises within the block into a `HubError` that says what to do.

    Args:
        repo_id: the repository that the block is about.
        endpoint: address of the Hub; None stands for the one that huggingface_hub uses.
        revision: the revision asked for.
    """
    hub = endpoint or constants.ENDPOINT
    bound_waiting()
    try:
        yield
    except UserError:
        raise
    except (OSError, HTTPError, ValueError, RuntimeError) as error:
        raise HubError(_message(_root(error), repo_id, hub, revision)) from error


def _root(error: BaseException) -> BaseException:
    """The error of the Hub below those that huggingface_hub wraps around it."""
    wraps = isinstance(error, (LocalEntryNotFoundError, RuntimeError)) and error.__cause__ is not None
    return _root(error.__cause__) if wraps and error.__cause__ is not None else error


def _message(error: BaseException, repo_id: str, hub: str, revision: str | None) -> str:
    match error:
        case GatedRepoError():
            return f"{repo_id} is only for people whom its owner lets in: ask at {hub}/{repo_id}, and {LOG_IN}"
        case RepositoryNotFoundError():
            return (
                f"no repository {repo_id} at {hub}, or one that is private. "
                f"Check the name; if it is private, {LOG_IN} that may read it"
            )
        case RevisionNotFoundError():
            return f"{repo_id} has no revision {revision!r}; {hub}/{repo_id}/tree/main lists branches and tags"
        case HfHubHTTPError():
            return _refusal(error, repo_id, hub)
        case HubSilentError():
            return f"{hub} does not answer: {error}. Check the network and try again"
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE forbids to ask the Hub; unset it and try again"
        case HTTPError():
            return f"cannot reach {hub} ({type(error).__name__}: {error}). Check the network and try again"
        case ValueError():
            return f"{hub} does not take what was sent for {repo_id}: {error}"
        case _:
            first = str(error).partition("\n")[0]
            return f"broken off on the way between here and {repo_id}: {first} Nothing was kept; try again"


def _refusal(error: HfHubHTTPError, repo_id: str, hub: str) -> str:
    status = error.response.status_code
    said = f" It says: {error.server_message}" if error.server_message else ""
    if status == 401:
        return f"{hub} does not know who you are: {LOG_IN} from {hub}/settings/tokens.{said}"
    if status == 403:
        return (
            f"your token may not write to {repo_id}: make one with the permission to write at {hub}/settings/tokens, "
            f"and make sure that {repo_id.partition('/')[0]} is you or an organisation that lets you.{said}"
        )
    return f"{hub} answered {status} for {repo_id}. {_TIMES.get(status, 'Try again later')}.{said}"
