"""The Korean texts; English is the key. A table of its own, because Label Studio's catalogues are not ours."""

from __future__ import annotations

from collections.abc import Callable

LANGUAGES = ("en", "ko")


def translator(language: str) -> Callable[[str], str]:
    """The function that turns an English text (still with its {placeholders}) into ``language``."""
    return _korean if language == "ko" else str


def _korean(text: str) -> str:
    return KOREAN.get(text, text)


KOREAN = {
    # actions
    "Custom AI: make": "Custom AI: 만들기",
    "Custom AI: auto-label selected": "Custom AI: 선택한 작업 자동 라벨링",
    "Custom AI: de-identify selected": "Custom AI: 선택한 작업 비식별화",
    "Custom AI: choose the best model": "Custom AI: 가장 좋은 모델 고르기",
    "Custom AI: status": "Custom AI: 상태",
    "Train models for this project. It does not matter which tasks are selected.": (
        "이 프로젝트의 모델을 학습합니다. 어떤 작업을 선택했는지는 상관없습니다."
    ),
    "Have the selected tasks pre-labelled. Tasks that people have worked on are left as they are.": (
        "선택한 작업에 미리 라벨을 답니다. 사람이 작업한 것은 그대로 둡니다."
    ),
    "Hide the faces in the images of the selected tasks. The images are replaced; labels stay.": (
        "선택한 작업의 이미지에서 얼굴을 가립니다. 이미지는 교체되고 라벨은 그대로 남습니다."
    ),
    "Vote for the best of the trained models.": "학습한 모델 중 가장 좋은 것에 투표합니다.",
    "How this project stands.": "이 프로젝트의 현재 상태입니다.",
    # config
    "CUSTOM_AI_URL is not set for Label Studio: the address of Custom AI, as Label Studio's server reaches it.": (
        "Label Studio에 CUSTOM_AI_URL이 없습니다. Label Studio 서버에서 접속하는 Custom AI 주소를 넣으세요."
    ),
    "{name} = {value} is no address: it has to begin with http:// or https://.": (
        "{name} = {value}은(는) 주소가 아닙니다. http:// 또는 https://로 시작해야 합니다."
    ),
    "CUSTOM_AI_EXTENSION_SECRET is not set for Label Studio, or shorter than {least} characters. "
    "Custom AI and Label Studio need the same one; `openssl rand -hex 32` makes one.": (
        "Label Studio에 CUSTOM_AI_EXTENSION_SECRET이 설정되어 있지 않거나 {least}자보다 짧습니다. "
        "Custom AI와 Label Studio에 같은 값이 필요합니다. `openssl rand -hex 32`로 만들 수 있습니다."
    ),
    "CUSTOM_AI_LANGUAGE = {value} is not known: en or ko.": (
        "CUSTOM_AI_LANGUAGE = {value}: en 또는 ko만 쓸 수 있습니다."
    ),
    # server
    "Custom AI at {url} does not answer. Is it running?": "{url}의 Custom AI가 응답하지 않습니다. 실행 중인가요?",
    "Custom AI at {url} gave an answer that this extension does not understand (HTTP {status}).": (
        "{url}의 Custom AI가 보낸 답을 이 확장 기능이 이해하지 못했습니다(HTTP {status})."
    ),
    # forms
    "This project is not connected to Custom AI yet.": "이 프로젝트는 아직 Custom AI에 연결되지 않았습니다.",
    "Connect it now": "지금 연결하기",
    'Connect it with "Custom AI: make".': '"Custom AI: 만들기"에서 연결하세요.',
    "Kind of labels": "라벨 종류",
    "{name}: {count} of {needed} labels; not enough yet": "{name}: 라벨 {count}/{needed}개, 아직 부족합니다",
    "{name}: {count} labels": "{name}: 라벨 {count}개",
    "No class has the {needed} labels that it needs yet.": "필요한 라벨 {needed}개를 갖춘 클래스가 아직 없습니다.",
    "All {count} classes that are ready": "준비된 클래스 {count}개 모두",
    "Model": "모델",
    "The model in use ({version})": "사용 중인 모델({version})",
    'There is no model yet: make one first, with "Custom AI: make".': (
        '아직 모델이 없습니다. 먼저 "Custom AI: 만들기"로 만드세요.'
    ),
    "{version}: {title}, score {score}": "{version}: {title}, 점수 {score}",
    "Hide the faces in their images first": "먼저 이 작업의 이미지에서 얼굴 가리기",
    "This extension was tried with Label Studio 1.23; this is {version}. If something does not work, tell us.": (
        "이 확장 기능은 Label Studio 1.23에서 확인했습니다(지금은 {version}). 안 되는 것이 있으면 알려 주세요."
    ),
    "There is no vote on the models of this project now.": "지금 이 프로젝트에는 진행 중인 모델 투표가 없습니다.",
    "The vote opens in a new tab: which of the models, whose names you do not see, found the most?": (
        "새 탭에서 투표가 열립니다. 이름이 가려진 모델 중 어느 것이 가장 잘 찾았는지 골라 주세요."
    ),
    # status
    "upright boxes": "똑바른 상자",
    "rotated boxes": "회전된 상자",
    "polygons": "다각형",
    "waiting to begin": "시작 대기 중",
    "running": "실행 중",
    "paused": "일시 중지됨",
    "finished": "완료",
    "failed": "실패",
    "cancelled": "취소됨",
    "Labels ({kind}), {needed} of each class are needed: {counts}": (
        "라벨({kind}), 클래스마다 {needed}개 필요: {counts}"
    ),
    "and {count} more classes": "그 밖에 클래스 {count}개",
    "Model in use: {version}, {title}, score {score}": "사용 중인 모델: {version}, {title}, 점수 {score}",
    "Model in use: {version}, {title}, until somebody chooses; score {score}": (
        "사용 중인 모델(투표로 정해질 때까지 임시): {version}, {title}, 점수 {score}"
    ),
    "No model yet.": "아직 모델이 없습니다.",
    "Training: {state}": "학습: {state}",
    "Training: {done} of {all} models are trained": "학습: 모델 {all}개 중 {done}개 완료",
    "The vote is open; {count} have voted.": "투표가 열려 있습니다. {count}명이 투표했습니다.",
    "Auto-labelling: {state}; {done} of {total} tasks, {failed} failed": (
        "자동 라벨링: {state}, 작업 {total}개 중 {done}개 완료, {failed}개 실패"
    ),
    "{count} pre-labelled tasks wait for somebody to look at them.": (
        "미리 라벨이 달린 작업 {count}개가 검토를 기다립니다."
    ),
    "Problem: {text}": "문제: {text}",
    # work
    "Training is in line; it begins by itself.": "학습이 대기열에 들어갔습니다. 저절로 시작됩니다.",
    "The project is connected. Custom AI counts its labels now; open this dialog again in a moment.": (
        "프로젝트를 연결했습니다. Custom AI가 라벨을 세고 있으니 잠시 뒤 이 창을 다시 여세요."
    ),
    "Nothing was started: choose at least one class.": "시작하지 않았습니다. 클래스를 하나 이상 고르세요.",
    "Hiding faces in {count} tasks, then auto-labelling them, is in line; it begins by itself.": (
        "작업 {count}개의 얼굴을 가린 뒤 자동 라벨링하는 일이 대기열에 들어갔습니다. 저절로 시작됩니다."
    ),
    "Auto-labelling of {count} tasks is in line; it begins by itself.": (
        "작업 {count}개의 자동 라벨링이 대기열에 들어갔습니다. 저절로 시작됩니다."
    ),
    "Hiding faces in {count} tasks is in line; it begins by itself.": (
        "작업 {count}개의 얼굴 가리기가 대기열에 들어갔습니다. 저절로 시작됩니다."
    ),
    "This Custom AI cannot de-identify tasks that are in Label Studio already; a newer one can.": (
        "이 Custom AI는 이미 Label Studio에 있는 작업을 비식별화하지 못합니다. 더 새 버전에서는 할 수 있습니다."
    ),
    "No task is selected.": "선택한 작업이 없습니다.",
    "The vote opens in a new tab.": "새 탭에서 투표가 열립니다.",
    # views
    "Open Custom AI": "Custom AI 열기",
    "Custom AI is not set up in Label Studio": "Label Studio에 Custom AI가 설정되지 않았습니다",
}
