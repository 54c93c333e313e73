"""`simsla import`."""

from __future__ import annotations

from simsla.scenario import Scenario

CONFIG = """
model_list:
  - {model_name: chat, litellm_params: {model: openai/gpt-4o, api_key: sk-SECRET}}
  - {model_name: claude, litellm_params: {model: anthropic/claude-3, api_key: os.environ/KEY}}
router_settings: {num_retries: 2, fallbacks: [{chat: [claude]}], redis_host: h}
"""


def test_a_scenario_is_written_and_never_over_another(simsla, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    done = simsla("import", "litellm", "config.yaml", "-o", "scenario.yaml")
    assert done.exit_code == 0
    assert "scenario.yaml: Scenario config: 30 min" in done.stdout
    assert "  router_settings.redis_host: counters" in done.stdout
    assert "  deployments.chat.latency, deployments.claude.latency: first token" in done.stdout
    written = (tmp_path / "scenario.yaml").read_text()
    assert "SECRET" not in written + done.output
    assert list(Scenario.load("scenario.yaml").traffic) == ["chat"]
    again = simsla("import", "litellm", "config.yaml", "-o", "scenario.yaml")
    assert again.exit_code == 2
    assert "scenario.yaml exists already" in again.output
    assert (tmp_path / "scenario.yaml").read_text() == written


def test_without_a_file_it_is_printed(simsla, tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    done = simsla("import", "litellm", str(tmp_path / "config.yaml"))
    assert done.exit_code == 0
    (tmp_path / "printed.yaml").write_text(done.stdout)
    assert Scenario.load(tmp_path / "printed.yaml").routing.options["router_settings"]["num_retries"] == 2


def test_what_cannot_be_read_is_bad_usage(simsla, tmp_path):
    absent = simsla("import", "litellm", str(tmp_path / "absent.yaml"))
    assert absent.exit_code == 2
    assert "expected a LiteLLM configuration file" in absent.output
    (tmp_path / "empty.yaml").write_text("")
    empty = simsla("import", "litellm", str(tmp_path / "empty.yaml"))
    assert empty.exit_code == 2
    assert "expected a mapping with a model_list" in empty.output
    (tmp_path / "config.yaml").write_text(CONFIG)
    nowhere = simsla(
        "import", "litellm", str(tmp_path / "config.yaml"), "-o", str(tmp_path / "no" / "where.yaml")
    )
    assert nowhere.exit_code == 2
    assert "cannot be written" in nowhere.output
