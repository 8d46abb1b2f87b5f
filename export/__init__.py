"""The trained net becomes int8 .tflite, then one Graph, from which everything else is written. No torch."""
