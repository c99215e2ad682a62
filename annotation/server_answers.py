"""Whether what answers at an address is Label Studio's API: a login page, a proxy or another service answers politely, too."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

import httpx

from voxdata.errors import AnnotationError

REMEDY = "check VOXDATA_LABEL_STUDIO_URL, which is the address under which the browser shows Label Studio, without a path of a page"


def require_api(answer: httpx.Response, *, url: str) -> None:
    """Refuse an answer that cannot come from Label Studio's API.

    Failures of the server itself (5xx) are left alone: a proxy in front of it shows a page of its own then, and it may pass.

    Args:
        answer: To any request but one for a file.
        url: Of the server, as the user gave it.

    Raises:
        AnnotationError: A page or a redirect came instead.
    """
    if answer.is_redirect:
        raise _redirected(answer, url)
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.status_code < 500 and kind in {"text/html", "application/xhtml+xml"}:
        raise not_label_studio(
            url, f"it answers with a page{_title(answer.text)} (status {answer.status_code})"
        )


def not_label_studio(url: str, why: str) -> AnnotationError:
    """The one line that an address deserves at which something else answers."""
    return AnnotationError(f"{url} is not Label Studio's API: {why}; {REMEDY}")


def _redirected(answer: httpx.Response, url: str) -> AnnotationError:
    asked = str(answer.request.url)
    target = urljoin(asked, answer.headers["location"])
    there, here = urlsplit(target), urlsplit(asked)
    # The same page under another scheme or name: what stands before it is the address to use.
    path = here.path.removeprefix(urlsplit(url).path.rstrip("/"))
    if (
        there.netloc
        and there.path.rstrip("/").endswith(path.rstrip("/"))
        and (there.scheme, there.netloc) != (here.scheme, here.netloc)
    ):
        prefix = there.path.rstrip("/").removesuffix(path.rstrip("/"))
        better = f"{there.scheme}://{there.netloc}{prefix}"
        return AnnotationError(
            f"{url} redirects to {better}; set VOXDATA_LABEL_STUDIO_URL={better}"
        )
    return not_label_studio(url, f"it redirects to {there.scheme}://{there.netloc}{there.path}")


def _title(page: str) -> str:
    found = re.search(r"<title[^>]{0,200}>([^<]{1,200})", page[:20_000], re.IGNORECASE)
    return f' "{" ".join(found.group(1).split())[:80]}"' if found else ""
