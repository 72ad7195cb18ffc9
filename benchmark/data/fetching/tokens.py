"""Hosts that ask for a login: in which variable a person's token is, and where one is made."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmark.data.dataset import DataError, Source


@dataclass(frozen=True)
class Login:
    """How one host knows a person: by the bearer token in an environment variable."""

    variable: str
    page: str  # where a person makes a token


LOGINS = {
    "huggingface.co": Login("HF_TOKEN", "https://huggingface.co/settings/tokens"),
    "www.kaggle.com": Login("KAGGLE_API_TOKEN", "https://www.kaggle.com/settings"),
}


def token_variable(url: str) -> str | None:
    """Return the environment variable that the host of ``url`` wants a token in, if it does."""
    login = _login(url)
    return login.variable if login else None


def authorization(url: str) -> dict[str, str]:
    """Return the header with the person's token for the host of ``url``, none without a token.

    Raises:
        DataError: the token has a character that no header may have, which is not told.
    """
    login = _login(url)
    token = os.environ.get(login.variable, "").strip() if login else ""
    if login and not re.fullmatch(r"[!-~]*", token):
        raise DataError(
            f"the token in the environment variable {login.variable} has a blank, a line break or "
            f"another character that no token has; copy it again from {login.page}"
        )
    return {"Authorization": f"Bearer {token}"} if token else {}


def advice(source: Source) -> str:
    """Return what a person does where the host of a source refuses to send it."""
    login = _login(source.url or "")
    if login is None:
        return "its address may have changed"
    caveat = f"the token in {login.variable} was sent; if it is right, " if _known(login) else ""
    return (
        f"{caveat}accept the terms at {source.page} while logged in, put a token from {login.page} "
        f"into the environment variable {login.variable} and run this again"
    )


def _known(login: Login) -> bool:
    return bool(os.environ.get(login.variable, "").strip())


def _login(url: str) -> Login | None:
    return LOGINS.get(urlsplit(url).hostname or "")
