artfs stage demo/digits-model next -t model
python train.py mnt/demo/digits/latest next/digits.joblib
artfs umount next
