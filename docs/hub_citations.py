"""The works to cite for the models of the hub: authors, title, year, address."""

from __future__ import annotations

# key: (authors, title, year, address)
CITATIONS = {
    "kerasbert2026mini": (
        "The kerasbert authors",
        "kerasbert-mini-zh: a small Chinese BERT for tests and examples",
        2026,
        "docs/kerasbert_mini_zh.md",
    ),
    "devlin2019bert": (
        "Jacob Devlin and Ming-Wei Chang and Kenton Lee and Kristina Toutanova",
        "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
        2019,
        "https://arxiv.org/abs/1810.04805",
    ),
    "turc2019well": (
        "Iulia Turc and Ming-Wei Chang and Kenton Lee and Kristina Toutanova",
        "Well-Read Students Learn Better: On the Importance of Pre-training Compact Models",
        2019,
        "https://arxiv.org/abs/1908.08962",
    ),
    "lee2020biobert": (
        "Jinhyuk Lee and Wonjin Yoon and Sungdong Kim and Donghyeon Kim and Sunkyu Kim and "
        "Chan Ho So and Jaewoo Kang",
        "BioBERT: a pre-trained biomedical language representation model for biomedical text "
        "mining",
        2020,
        "https://arxiv.org/abs/1901.08746",
    ),
    "cui2019wwm": (
        "Yiming Cui and Wanxiang Che and Ting Liu and Bing Qin and Ziqing Yang and Shijin Wang "
        "and Guoping Hu",
        "Pre-Training with Whole Word Masking for Chinese BERT",
        2019,
        "https://arxiv.org/abs/1906.08101",
    ),
    "cui2020revisiting": (
        "Yiming Cui and Wanxiang Che and Ting Liu and Bing Qin and Shijin Wang and Guoping Hu",
        "Revisiting Pre-Trained Models for Chinese Natural Language Processing",
        2020,
        "https://www.aclweb.org/anthology/2020.findings-emnlp.58",
    ),
    "cui2022lert": (
        "Yiming Cui and Wanxiang Che and Shijin Wang and Ting Liu",
        "LERT: A Linguistically-motivated Pre-trained Language Model",
        2022,
        "https://arxiv.org/abs/2211.05344",
    ),
    "cui2022pert": (
        "Yiming Cui and Ziqing Yang and Ting Liu",
        "PERT: Pre-training BERT with Permuted Language Model",
        2022,
        "https://arxiv.org/abs/2203.06906",
    ),
    "clark2020electra": (
        "Kevin Clark and Minh-Thang Luong and Quoc V. Le and Christopher D. Manning",
        "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators",
        2020,
        "https://openreview.net/pdf?id=r1xMH1BtvB",
    ),
    "xu2020clue": (
        "Liang Xu and Xuanwei Zhang and Qianqian Dong",
        "CLUECorpus2020: A Large-scale Chinese Corpus for Pre-training Language Model",
        2020,
        "https://arxiv.org/abs/2003.01355",
    ),
    "lan2020albert": (
        "Zhenzhong Lan and Mingda Chen and Sebastian Goodman and Kevin Gimpel and Piyush Sharma "
        "and Radu Soricut",
        "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations",
        2020,
        "https://arxiv.org/abs/1909.11942",
    ),
    "xu2019albertzh": (
        "Bright Liang Xu",
        "albert_zh",
        2019,
        "https://github.com/brightmart/albert_zh",
    ),
    "su2020simbert": (
        "Jianlin Su",
        "SimBERT: Integrating Retrieval and Generation into BERT",
        2020,
        "https://github.com/ZhuiyiTechnology/simbert",
    ),
    "su2020zoo": (
        "Jianlin Su",
        "Open Language Pre-trained Model Zoo - ZhuiyiAI",
        2020,
        "https://github.com/ZhuiyiTechnology/pretrained-models",
    ),
    "su2021roformer": (
        "Jianlin Su and Yu Lu and Shengfeng Pan and Ahmed Murtadha and Bo Wen and Yunfeng Liu",
        "RoFormer: Enhanced Transformer with Rotary Position Embedding",
        2021,
        "https://arxiv.org/abs/2104.09864",
    ),
    "su2021roformersim": (
        "Jianlin Su",
        "RoFormer-Sim: Integrating Retrieval and Generation into RoFormer",
        2021,
        "https://github.com/ZhuiyiTechnology/roformer-sim",
    ),
    "su2022roformerv2": (
        "Jianlin Su and Shengfeng Pan and Bo Wen and Yunfeng Liu",
        "RoFormerV2: A Faster and Better RoFormer - ZhuiyiAI",
        2022,
        "https://github.com/ZhuiyiTechnology/roformer-v2",
    ),
    "su2020wobert": (
        "Jianlin Su",
        "WoBERT: Word-based Chinese BERT model - ZhuiyiAI",
        2020,
        "https://github.com/ZhuiyiTechnology/WoBERT",
    ),
    "wei2019nezha": (
        "Junqiu Wei and Xiaozhe Ren and Xiaoguang Li and Wenyong Huang and Yi Liao and Yasheng "
        "Wang and Jiashu Lin and Xin Jiang and Xiao Chen and Qun Liu",
        "NEZHA: Neural Contextualized Representation for Chinese Language Understanding",
        2019,
        "https://arxiv.org/abs/1909.00204",
    ),
    "yang2019xlnet": (
        "Zhilin Yang and Zihang Dai and Yiming Yang and Jaime Carbonell and Ruslan Salakhutdinov "
        "and Quoc V. Le",
        "XLNet: Generalized Autoregressive Pretraining for Language Understanding",
        2019,
        "https://arxiv.org/abs/1906.08237",
    ),
    "chung2021rethinking": (
        "Hyung Won Chung and Thibault Fevry and Henry Tsai and Melvin Johnson and Sebastian Ruder",
        "Rethinking embedding coupling in pre-trained language models",
        2021,
        "https://arxiv.org/abs/2010.12821",
    ),
    "sun2019ernie": (
        "Yu Sun and Shuohuan Wang and Yukun Li and Shikun Feng and Xuyi Chen and Han Zhang and "
        "Xin Tian and Danxiang Zhu and Hao Tian and Hua Wu",
        "ERNIE: Enhanced Representation through Knowledge Integration",
        2019,
        "https://arxiv.org/abs/1904.09223",
    ),
    "liu2019roberta": (
        "Yinhan Liu and Myle Ott and Naman Goyal and Jingfei Du and Mandar Joshi and Danqi Chen "
        "and Omer Levy and Mike Lewis and Luke Zettlemoyer and Veselin Stoyanov",
        "RoBERTa: A Robustly Optimized BERT Pretraining Approach",
        2019,
        "https://arxiv.org/abs/1907.11692",
    ),
    "conneau2020xlmr": (
        "Alexis Conneau and Kartikay Khandelwal and Naman Goyal and Vishrav Chaudhary and "
        "Guillaume Wenzek and Francisco Guzman and Edouard Grave and Myle Ott and Luke "
        "Zettlemoyer and Veselin Stoyanov",
        "Unsupervised Cross-lingual Representation Learning at Scale",
        2020,
        "https://arxiv.org/abs/1911.02116",
    ),
    "goyal2021larger": (
        "Naman Goyal and Jingfei Du and Myle Ott and Giri Anantharaman and Alexis Conneau",
        "Larger-Scale Transformers for Multilingual Masked Language Modeling",
        2021,
        "https://arxiv.org/abs/2105.00572",
    ),
    "joshi2020spanbert": (
        "Mandar Joshi and Danqi Chen and Yinhan Liu and Daniel S. Weld and Luke Zettlemoyer and "
        "Omer Levy",
        "SpanBERT: Improving Pre-training by Representing and Predicting Spans",
        2020,
        "https://arxiv.org/abs/1907.10529",
    ),
    "zhang2021mengzi": (
        "Zhuosheng Zhang and Hanqing Zhang and Keming Chen and Yuhang Guo and Jingyun Hua and "
        "Yulong Wang and Ming Zhou",
        "Mengzi: Towards Lightweight yet Ingenious Pre-trained Models for Chinese",
        2021,
        "https://arxiv.org/abs/2110.06696",
    ),
    "feng2022labse": (
        "Fangxiaoyu Feng and Yinfei Yang and Daniel Cer and Naveen Arivazhagan and Wei Wang",
        "Language-agnostic BERT Sentence Embedding",
        2022,
        "https://arxiv.org/abs/2007.01852",
    ),
}
