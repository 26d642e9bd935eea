"""Six months of a portal, played through the real services in the order of their days."""

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from django.conf import settings

from accounts.models import User
from approvals.decisions.services.answers import Answer
from approvals.decisions.services.consent import check_code, give_consent, send_code
from approvals.decisions.services.deciding import decide_as_staff
from approvals.decisions.services.links import expire_links, note_opening, renew_link, state_of
from approvals.emergencies.services import break_glass
from approvals.models import Request, Step, StepRole
from approvals.path.services.path import PURPOSE as STEP_PURPOSE
from approvals.path.services.path import staff_who_may_decide
from approvals.requests.drafts import draft_of
from approvals.requests.services.requests import (
    expire_requests,
    save_draft,
    start_draft,
    submit_request,
    withdraw_request,
)
from core.actors import SYSTEM, Actor
from core.links import code_of, token_of
from demo.calendar import Story, in_office
from demo.people import BROWSER, actor_for
from demo.places import Site
from demo.purposes import USES
from demo.wishes import Wish, terms_of
from keys.delivery.services.delivery import PURPOSE as DELIVERY_PURPOSE
from keys.delivery.services.delivery import confirm_delivery, expire_deliveries, reveal_secret
from keys.life.services.issuing import issue_key
from keys.life.services.retiring import watch_retirements
from keys.models import Delivery, Key
from keys.status.services import expire_keys, reactivate_key, revoke_key, suspend_key
from keys.terms.terms import KeyTerms
from partners.models import Contact, IdentityCheck

MOMENT = timedelta(minutes=1)
REJECTED = (
    "用途の説明から、データの再配布に当たらないことが読み取れません。",
    "契約のライセンス区分では、このデータは対象外です。",
    "IPアドレス範囲が広すぎます。接続元に絞って再申請してください。",
    "同じ目的のキーがすでに発行されています。",
)
SENT_BACK = "スコープを読み取りだけに絞り、利用目的に提供先の画面名を書き足してください。"
SUSPENDED = (
    "監査指摘への対応が終わるまで停止",
    "契約先の体制変更のため一時停止",
    "想定外の時間帯の利用について確認中",
)
REVOKED = {
    Key.RevokeReason.OTHER: "契約先の事業終了に伴う停止",
    Key.RevokeReason.LEAKED: "公開リポジトリでの露出を契約先が確認",
}


@dataclass
class Player:
    """Plays the wishes. `secrets` are the texts that recipients saw, for the traffic of the demo."""

    story: Story
    rng: random.Random
    staff: dict[str, User]
    sites: dict[str, Site]
    secrets: dict[str, str] = field(default_factory=dict)
    wishes: dict[str, Wish] = field(default_factory=dict)

    def person(self, mailbox: str) -> User:
        """A member of staff by what stands before the @."""
        return next(user for address, user in self.staff.items() if address.startswith(f"{mailbox}@"))

    # --- requests ---------------------------------------------------------------------------------

    def ask(self, wish: Wish, now: datetime) -> None:
        """A requester fills in the form, and submits it a quarter of an hour later."""
        site = self.sites[wish.place.name]
        terms = terms_of(wish, site, now=now)
        if terms is None and wish.use.restricted:
            wish.use = USES[0]
            terms = terms_of(wish, site, now=now)
        if terms is None:
            return
        if wish.fate == "emergency":
            self._break_glass(wish, terms, now)
            return
        by = self._requester(wish)
        if wish.was_moved_over(self.story.now):
            self._move_over(wish, terms, by, now)
            return
        request = start_draft(actor=actor_for(by), by=by, partner=site.partner, now=now)
        later = now + timedelta(minutes=self.rng.randint(6, 25))
        if wish.fate == "draft":
            draft = draft_of(replace(terms, purpose="", expires_on=""))
            save_draft(
                actor=actor_for(by),
                by=by,
                request=request,
                version=request.version,
                draft=draft,
                title=terms.name,
                now=now,
            )
            return

        def submit(then: datetime) -> None:
            submit_request(
                actor=actor_for(by),
                by=by,
                request=request,
                version=request.version,
                terms=terms,
                draft=draft_of(terms),
                now=then,
            )
            self._go_on(wish, request, then)

        self.story.at(later, submit)

    def _move_over(self, wish: Wish, terms: KeyTerms, owner: User, now: datetime) -> None:
        key = issue_key(
            actor=SYSTEM("register_moved"), terms=terms, owner=owner, request_ref="", decisions=[], now=now
        )
        self.wishes[key.public_id] = wish
        self._deliver(wish, key, now)

    def _break_glass(self, wish: Wish, terms: KeyTerms, now: datetime) -> None:
        by = self.person("takeshi.watanabe")
        partner = self.sites[wish.place.name].partner
        request = start_draft(actor=actor_for(by), by=by, partner=partner, now=now)
        break_glass(
            actor=actor_for(by),
            by=by,
            request=request,
            version=request.version,
            terms=terms,
            draft=draft_of(terms),
            reason="配信障害により既存キーを停止したため、代替キーを直ちに発行",
            incident="INC-0031",
            typed_number=request.public_id,
            second_factor_at=now,
            now=now,
        )
        self._go_on(wish, request, now)

    def _requester(self, wish: Wish) -> User:
        if wish.place.language == "en":
            return self.person("emma.lindqvist")
        return self.person("ken.suzuki" if self.rng.random() < 0.35 else "rin.nakamura")

    def _go_on(self, wish: Wish, request: Request, now: datetime) -> None:
        if wish.fate == "ignored":
            end = now + settings.REQUEST_LIFETIME + MOMENT
            self.story.at(end, lambda moment: expire_requests(now=moment))
            return
        if wish.fate == "withdrawn":
            then = in_office(now + timedelta(hours=self.rng.randint(3, 30)))
            self.story.at(then, lambda moment: self._withdraw(request, moment))
            return
        self.story.at(self._soon(wish, now), lambda moment: self._decide(wish, request, moment))

    def _soon(self, wish: Wish, now: datetime) -> datetime:
        if wish.is_quick:
            return now + timedelta(minutes=self.rng.randint(50, 170))
        return in_office(now + timedelta(minutes=self.rng.randint(40, 60 * 20)))

    def _withdraw(self, request: Request, now: datetime) -> None:
        request = Request.objects.select_related("requester").get(pk=request.pk)
        if request.state == Request.State.IN_REVIEW:
            by = request.requester
            withdraw_request(actor=actor_for(by), by=by, request=request, version=request.version, now=now)

    def _decide(self, wish: Wish, request: Request, now: datetime) -> None:
        step = (
            Step.objects.select_related("request__partner", "request__requester", "revision", "contact")
            .filter(request=request, state=Step.State.OPEN)
            .first()
        )
        if step is None or (step.role == wish.stops_at and wish.fate != "sent_back"):
            return
        if step.contact is not None:
            self._consent(step, step.contact, now)
        else:
            self._decide_as_staff(wish, step, now)
        request = Request.objects.select_related("key__owner").get(pk=request.pk)
        if request.key is not None:
            self.wishes[request.key.public_id] = wish
            self._deliver(wish, request.key, now)
        elif request.state == Request.State.IN_REVIEW:
            self.story.at(self._soon(wish, now), lambda moment: self._decide(wish, request, moment))

    def _decide_as_staff(self, wish: Wish, step: Step, now: datetime) -> None:
        by = self.rng.choice(staff_who_may_decide(step))
        reject = wish.fate == "rejected" and (step.role == StepRole.TECH or self.rng.random() < 0.45)
        send_back = wish.fate == "sent_back" and step.role == wish.stops_at
        checks = step.role == StepRole.TECH and not reject and not send_back
        link = step.links.filter(staff=by, died_at=None, used_at=None, expires_at__gt=now).first()
        by_mail = link is not None and self.rng.random() < 0.6
        if link is not None and by_mail:
            note_opening(link, user_agent=BROWSER, now=now - timedelta(minutes=3))
        answer = Answer(
            outcome="changes" if send_back else "reject" if reject else "approve",
            digest=bytes(step.revision.digest),
            reason=SENT_BACK if send_back else self.rng.choice(REJECTED) if reject else "",
            checklist=tuple(IdentityCheck.points_for(step.request.partner.kind)) if checks else (),
        )
        decide_as_staff(
            actor=actor_for(by),
            by=by,
            step=step,
            answer=answer,
            second_factor_at=now - timedelta(minutes=1),
            link=link if by_mail else None,
            now=now,
        )

    def _consent(self, step: Step, contact: Contact, now: datetime) -> None:
        link = step.links.filter(contact=contact).latest("id")
        actor, token = self._outsider(contact), token_of(bytes(link.nonce), purpose=STEP_PURPOSE)
        if state_of(link, now=now) != "open":  # a long weekend: they ask for a new link
            renew_link(actor=actor, token=token, now=now)
            return
        note_opening(link, user_agent=BROWSER, now=now)
        code = send_code(actor=actor, token=token, now=now)
        then = now + timedelta(minutes=2)
        proof = check_code(actor=actor, token=token, given=code_of(bytes(code.nonce)), now=then).proof
        answer = Answer(
            outcome="approve",
            digest=bytes(step.revision.digest),
            signed_name=contact.name,
            signed_capacity=contact.title or contact.name,
        )
        give_consent(actor=actor, token=token, proof=proof, answer=answer, now=now + timedelta(minutes=6))

    def _outsider(self, contact: Contact) -> Actor:
        number = int(contact.public_id.removeprefix("CO-"))
        return Actor(
            kind="contact", ref=contact.public_id, ip=f"203.0.113.{130 + number % 100}", user_agent=BROWSER
        )

    # --- keys -------------------------------------------------------------------------------------

    def _deliver(self, wish: Wish, key: Key, now: datetime) -> None:
        self.story.at(key.expires_at + MOMENT, lambda moment: expire_keys(now=moment))
        if wish.fate == "waits":
            return
        if wish.fate == "unclaimed":
            self._leave(now + settings.DELIVERY_LIFETIME + MOMENT)
            return
        wait = timedelta(minutes=self.rng.randint(30, 60 * 22))
        then = now + wait / 9 if wish.is_quick else in_office(now + wait)
        self.story.at(then, lambda moment: self._collect(wish, key, moment))

    def _collect(self, wish: Wish, key: Key, now: datetime) -> None:
        waiting = Delivery.objects.filter(key=key, state=Delivery.State.WAITING, expires_at__gt=now)
        delivery = waiting.select_related("recipient").first()
        if delivery is None:
            self._leave(now)  # after a long weekend
            return
        token = token_of(bytes(delivery.nonce), purpose=DELIVERY_PURPOSE)
        actor = self._outsider(delivery.recipient)
        self.secrets[key.public_id] = reveal_secret(actor=actor, token=token, now=now).text
        if self.rng.random() < 0.9:
            confirm_delivery(actor=actor, token=token, now=now + timedelta(minutes=4))
        self._plan_end(wish, key, now)

    def _leave(self, moment: datetime) -> None:
        """Nobody collects a key: it is revoked as unclaimed when its time is up."""
        self.story.at(moment, lambda then: expire_deliveries(now=then))

    def _plan_end(self, wish: Wish, key: Key, now: datetime) -> None:
        left = (self.story.now - now) / timedelta(days=1)
        then = in_office(now + timedelta(days=left * self.rng.uniform(0.3, 0.9)))
        if wish.fate == "revoked":
            self.story.at(then, lambda moment: self._revoke(wish, key, moment))
        elif wish.fate in {"suspended", "stopped_once"}:
            self.story.at(then, lambda moment: self._suspend(wish, key, moment))

    def _revoke(self, wish: Wish, key: Key, now: datetime) -> None:
        by = self.person(self.rng.choice(("takeshi.watanabe", "yuki.kobayashi")))
        if self._fresh(key).has_ended:
            return
        revoke_key(
            actor=actor_for(by),
            by=by,
            key=key,
            reason=wish.reason,
            note=REVOKED.get(Key.RevokeReason(wish.reason), ""),
            typed_number=key.public_id,
            now=now,
        )

    def _suspend(self, wish: Wish, key: Key, now: datetime) -> None:
        by = self.person(self.rng.choice(("misaki.sato", "yuki.kobayashi", "naoto.takahashi")))
        if self._fresh(key).has_ended:
            return
        reason = self.rng.choice(SUSPENDED)
        suspend_key(actor=actor_for(by), by=by, key=key, reason=reason, now=now)
        if wish.fate == "stopped_once":
            then = in_office(now + timedelta(hours=self.rng.randint(5, 60)))
            self.story.at(then, lambda moment: self._reactivate(by, key, moment))

    def _reactivate(self, by: User, key: Key, now: datetime) -> None:
        if not self._fresh(key).has_ended:
            reason = "確認が終わり、問題なし"
            reactivate_key(actor=actor_for(by), by=by, key=key, reason=reason, now=now)

    def _fresh(self, key: Key) -> Key:
        return Key.objects.get(pk=key.pk)


def sweep(now: datetime) -> None:
    """What beat runs every minute; here once a week, and when something is known to be due."""
    expire_deliveries(now=now)
    expire_keys(now=now)
    watch_retirements(now=now)
    expire_links(now=now)
    expire_requests(now=now)
