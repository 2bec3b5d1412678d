"""The plugin in a small site of its own, each in a pytest of its own."""

import os

import pytest

from tests.testing.conftest import SETTINGS


def test_the_fixture_points_the_settings_at_an_empty_simulator(site: pytest.Pytester) -> None:
    site.makepyfile("""
        import requests
        from django.conf import settings

        def test_one(blueshift):
            config = settings.BLUESHIFT_SYNC
            assert config == {
                "API_KEY": blueshift.api_key, "BASE_URL": blueshift.url, "REGION": "eu", "TIMEOUT": (1, 2)
            }
            answer = requests.post(
                config["BASE_URL"] + "/api/v1/customers",
                json={"customer_id": "1"},
                auth=(config["API_KEY"], ""),
                timeout=10,
            )
            assert answer.status_code == 200
            blueshift.fail("reset")
            assert len(blueshift.customers) == 1

        def test_two(blueshift):
            assert blueshift.customers == blueshift.requests == []

        def test_three():
            assert settings.BLUESHIFT_SYNC == {
                "API_KEY": "the-site's", "REGION": "eu", "TIMEOUT": (1, 2)
            }
    """)
    site.runpytest_subprocess().assert_outcomes(passed=3)


def test_a_site_without_the_setting_gets_it(site: pytest.Pytester) -> None:
    site.makepyfile(site_settings=SETTINGS.partition("BLUESHIFT_SYNC")[0])
    site.makepyfile("""
        from django.conf import settings

        def test_one(blueshift):
            assert settings.BLUESHIFT_SYNC == {"API_KEY": blueshift.api_key, "BASE_URL": blueshift.url}

        def test_two():
            assert not hasattr(settings, "BLUESHIFT_SYNC")
    """)
    site.runpytest_subprocess().assert_outcomes(passed=2)


def test_without_pytest_django_a_sentence_says_what_to_install(site: pytest.Pytester) -> None:
    site.makeini("[pytest]\naddopts = -p no:cacheprovider -p no:django")
    site.makepyfile("def test_one(blueshift): pass")
    result = site.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*needs pytest-django to change the settings: pip install pytest-django.*")
    result.stdout.no_fnmatch_line("*Traceback*")


def test_without_uvicorn_a_sentence_says_what_to_install(
    site: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = site.mkdir("broken")
    (broken / "uvicorn.py").write_text('raise ImportError("No module named uvicorn")')
    monkeypatch.setenv("PYTHONPATH", str(broken), prepend=os.pathsep)
    site.makepyfile("def test_one(blueshift): pass")
    result = site.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*needs uvicorn and httptools: pip install 'blueshift-sync?testing?'.*")
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_test_that_does_not_ask_for_it_starts_nothing(site: pytest.Pytester) -> None:
    site.makepyfile("""
        import sys

        def test_one():
            assert "blueshift_sync.testing.plugin" in sys.modules
            assert "blueshift_sync.testing.process" not in sys.modules
            assert "uvicorn" not in sys.modules
    """)
    site.runpytest_subprocess().assert_outcomes(passed=1)
