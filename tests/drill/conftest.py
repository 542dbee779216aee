from tests.retrain.conftest import first_run as first_run
