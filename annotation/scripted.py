"""Scripted annotators: simulated people for the demo and the tests.

They answer through the server's API, each with its own account, and each answer carries that a
script gave it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx

from annotation.encode import Json, encode_labels, encode_simulation
from annotation.label_studio import LabelStudioQueue
from voxdata.errors import AnnotationError, TransientError
from voxdata.scheme import Scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedAnnotator:
    """A simulated person who answers from a key and errs at a stated rate.

    Attributes:
        email: Login name.
        error_rate: Share of labels, 0..1, for which another label of the scheme is named.
        seed: Decides which ones, together with the utterance and the scheme; the order of work does
            not matter.
    """

    email: str
    error_rate: float
    seed: int

    def choose(self, utterance_id: str, scheme: Scheme, truth: str) -> str:
        """The label this annotator gives to one utterance."""
        seeded = f"{self.seed}/{utterance_id}/{scheme.name}"
        drawn = hashlib.sha256(seeded.encode()).digest()
        share = int.from_bytes(drawn[:8], "big") / 2**64
        if share >= self.error_rate:
            return truth
        others = [label for label in scheme.label_names if label != truth]
        place = int.from_bytes(drawn[8:16], "big") % len(others)
        return others[place]

    def answer(
        self,
        queue: LabelStudioQueue,
        key: Mapping[str, Mapping[str, str]],
        utterance_ids: Sequence[str],
        *,
        schemes: Sequence[Scheme],
        password: str,
    ) -> dict[str, int]:
        """Answer every clip that this account has not answered yet.

        Clips that the key lacks are skipped.

        Args:
            queue: Where the clips are.
            key: Utterance id -> scheme -> right label.
            utterance_ids: Clips to answer; those the server lacks are passed over.
            schemes: What is asked.
            password: The password of the account, which is created when absent.

        Returns:
            How many were "labelled", "skipped", and "done before".

        Raises:
            AnnotationError: The server refused the login or an answer.
            TransientError: The server could not be reached.
        """
        queue.server.ensure_annotator(self.email, password)
        clips = queue.find_clips(utterance_ids)
        counts = {"labelled": 0, "skipped": 0, "done before": 0}
        try:
            with httpx.Client(
                base_url=queue.url,
                timeout=120,
                trust_env=False,
            ) as session:
                headers = self._log_in(session, password)
                for utterance_id, clip in sorted(clips.items()):
                    if self.email in clip.annotators:
                        counts["done before"] += 1
                        continue
                    truth = key.get(utterance_id)
                    answer = session.post(
                        f"/api/tasks/{clip.number}/annotations/",
                        json=self._encode_answer(utterance_id, truth, schemes),
                        headers=headers,
                    )
                    if answer.status_code != 201:
                        raise AnnotationError(
                            f"{self.email}: Label Studio refused an answer "
                            f"to clip {utterance_id} ({answer.status_code})"
                        )
                    counts["labelled" if truth else "skipped"] += 1
        except httpx.HTTPError as error:
            raise TransientError(
                f"Label Studio at {queue.url} does not answer ({error})"
            ) from error
        return counts

    def _encode_answer(
        self,
        utterance_id: str,
        truth: Mapping[str, str] | None,
        schemes: Sequence[Scheme],
    ) -> Json:
        """An annotation for the server; a skip when the truth is not known."""
        labels = {}
        if truth:
            for scheme in schemes:
                label = self.choose(utterance_id, scheme, truth[scheme.name])
                labels[scheme.name] = (label,)
        mark = encode_simulation(self.email, self.error_rate, lead="a")
        return {
            "result": [*encode_labels(labels, lead="a"), mark],
            "was_cancelled": truth is None,
            "lead_time": 2.0,
        }

    def _log_in(self, session: httpx.Client, password: str) -> dict[str, str]:
        session.get("/user/login/")
        answer = session.post(
            "/user/login/",
            data={
                "email": self.email,
                "password": password,
                "csrfmiddlewaretoken": session.cookies["csrftoken"],
            },
            headers={"Referer": f"{session.base_url}/user/login/"},
        )
        if answer.status_code != 302:
            raise AnnotationError(
                f"Label Studio refused the login of {self.email} (status {answer.status_code})"
            )
        return {"X-CSRFToken": session.cookies["csrftoken"], "Referer": str(session.base_url)}
