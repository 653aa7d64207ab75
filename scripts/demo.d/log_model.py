"""Log the trained model: the run that made it, and the data it was trained on."""

import artfs

with artfs.init(project="demo", job_type="train") as run:
    run.use_artifact("digits:latest")
    model = artfs.Artifact("digits-model", type="model")
    model.add_dir("model")
    run.log_artifact(model)
    model.wait()
    print(f"{model.project}/{model.name}")
