"""One metric of several: of a task that has several kinds of labels and of outputs."""

import keras


@keras.saving.register_keras_serializable(package="tfdlcv")
class Selected(keras.metrics.Metric):
    """`metric` of `y_true[label]` and `y_pred[output]`, under the metric's name.

    Args:
        metric: a Keras metric; its state and result are this one's.
        label, output: names in the dicts that `update_state` gets.

    Call arguments:
        y_true, y_pred: dicts of tensors.
        sample_weight: as the metric takes it.
    """

    def __init__(self, metric: keras.metrics.Metric, label: str, output: str, *, name: str | None = None, dtype=None):
        super().__init__(name=name or metric.name, dtype=dtype)
        self.metric = metric
        self.label = label
        self.output = output

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.metric.update_state(y_true[self.label], y_pred[self.output], sample_weight)

    def result(self):
        return self.metric.result()

    def reset_state(self):
        self.metric.reset_state()

    def get_config(self):
        metric = keras.saving.serialize_keras_object(self.metric)
        return {**super().get_config(), "metric": metric, "label": self.label, "output": self.output}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "metric": keras.saving.deserialize_keras_object(config["metric"])})
