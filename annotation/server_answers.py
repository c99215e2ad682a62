"""Whether what answers at an address is Label Studio's API.

A login page, a proxy or another service answers politely, too.
"""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

import httpx

from voxdata.errors import AnnotationError

REMEDY = (
    "check VOXDATA_LABEL_STUDIO_URL, which is the address under which the browser shows "
    "Label Studio, without a path of a page"
)
PAGE_TYPES = {"text/html", "application/xhtml+xml"}


def require_api(answer: httpx.Response, *, url: str) -> None:
    """Refuse an answer that cannot come from Label Studio's API.

    Failures of the server itself (5xx) are left alone: a proxy in front of it shows a page of its
    own then, and it may pass.

    Args:
        answer: To any request but one for a file.
        url: The address of the server, as the user gave it.

    Raises:
        AnnotationError: A page or a redirect came instead.
    """
    if answer.is_redirect:
        raise _redirected(answer, url)
    content_type = answer.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if answer.status_code < 500 and media_type in PAGE_TYPES:
        title = _title(answer.text)
        why = f"it answers with a page{title} (status {answer.status_code})"
        raise not_label_studio(url, why)


def not_label_studio(url: str, why: str) -> AnnotationError:
    """The error for an address at which something else answers."""
    return AnnotationError(f"{url} is not Label Studio's API: {why}; {REMEDY}")


def _redirected(answer: httpx.Response, url: str) -> AnnotationError:
    asked = str(answer.request.url)
    source = urlsplit(asked)
    target = urlsplit(urljoin(asked, answer.headers["location"]))
    site = f"{target.scheme}://{target.netloc}"

    # The same page under another scheme or name: what stands before it is the address to use.
    prefix = urlsplit(url).path.rstrip("/")
    page = source.path.removeprefix(prefix).rstrip("/")
    target_path = target.path.rstrip("/")
    same_page = bool(target.netloc) and target_path.endswith(page)
    same_site = (target.scheme, target.netloc) == (source.scheme, source.netloc)
    if same_page and not same_site:
        better = f"{site}{target_path.removesuffix(page)}"
        return AnnotationError(
            f"{url} redirects to {better}; set VOXDATA_LABEL_STUDIO_URL={better}"
        )
    return not_label_studio(url, f"it redirects to {site}{target.path}")


def _title(page: str) -> str:
    """The title of a page in quotation marks, after a blank; "" when it has none."""
    match = re.search(r"<title[^>]{0,200}>([^<]{1,200})", page[:20_000], re.IGNORECASE)
    if match is None:
        return ""
    title = " ".join(match.group(1).split())
    return f' "{title[:80]}"'
